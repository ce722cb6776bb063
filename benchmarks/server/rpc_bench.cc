// AddClasses and Segment as a caller meets them: through gRPC, the server, the
// engine with the demo bundle and a RocksDB store in a temporary folder.
#include <stdlib.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "benchmark/benchmark.h"
#include "client/client.h"
#include "engine/engine.h"
#include "server/admin_server.h"
#include "server/metrics.h"
#include "server/readiness.h"
#include "server/server.h"
#include "store/prototype_store.h"

namespace ovdiff {
namespace {

constexpr char kBundle[] = OVDIFF_SOURCE_DIR "/deploy/bundles/demo";
constexpr char kVocabulary[] = "bench";

// A benchmark without its server has nothing to say.
template <typename T>
T OrDie(absl::StatusOr<T> value) {
  if (!value.ok()) {
    std::fprintf(stderr, "rpc_bench: %s\n", value.status().ToString().c_str());
    std::exit(1);
  }
  return *std::move(value);
}

// A server on free ports, and a client of it.
struct Setup {
  std::string folder;
  std::unique_ptr<store::PrototypeStore> store;
  std::unique_ptr<engine::Engine> engine;
  server::Metrics metrics;
  server::Readiness readiness;
  std::unique_ptr<server::AdminServer> admin;
  std::unique_ptr<server::Server> server;
  std::unique_ptr<client::Client> client;

  Setup() {
    std::string pattern =
        (std::filesystem::temp_directory_path() / "rpc_bench_XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) {
      std::perror("rpc_bench: mkdtemp");
      std::exit(1);
    }
    folder = pattern;
    store::StoreOptions store_options;
    store_options.path = folder + "/store";
    store = OrDie(store::OpenRocksDbStore(store_options));
    engine::EngineOptions engine_options;
    engine_options.bundle_path = kBundle;
    engine = OrDie(engine::CreateEngine(engine_options));
    admin =
        OrDie(server::AdminServer::Create("127.0.0.1:0", metrics, readiness));
    server::ServerOptions options;
    options.listen_address = "127.0.0.1:0";
    server = OrDie(server::Server::Create(
        options, {*engine, *store, metrics, readiness, *admin}));
    client::ClientOptions client_options;
    client_options.server = server->address();
    client = OrDie(client::Client::Create(client_options));
  }

  ~Setup() {
    client.reset();
    server.reset();
    admin.reset();
    engine.reset();
    store.reset();
    std::filesystem::remove_all(folder);
  }

  // Made at first use, gone before main() ends: a server that is destroyed with
  // the statics would outlive the logger and gRPC's own.
  static std::unique_ptr<Setup>& Slot() {
    static std::unique_ptr<Setup> setup;
    return setup;
  }
  static Setup& Get() {
    if (Slot() == nullptr) {
      Slot() = std::make_unique<Setup>();
    }
    return *Slot();
  }
};

// `seed` 0: the server's. Another one is another class to the store.
void AddClass(const std::string& name, uint64_t seed) {
  v1::AddClassesRequest request;
  request.set_vocabulary(kVocabulary);
  request.add_classes()->set_name(name);
  request.set_request_id(absl::StrCat(name, "-", seed));
  if (seed != 0) {
    request.mutable_options()->set_seed(seed);
  }
  const v1::Job job = OrDie(Setup::Get().client->AddClasses(request));
  if (job.state() != v1::JOB_STATE_SUCCEEDED) {
    std::fprintf(stderr, "rpc_bench: %s\n", job.ShortDebugString().c_str());
    std::exit(1);
  }
}

std::string ReadScene() {
  std::ifstream file(absl::StrCat(kBundle, "/scenes/00.png"), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// One class with the bundle's defaults, painted anew each time.
void BM_AddClasses(benchmark::State& state) {
  Setup::Get();
  uint64_t seed = 1000;
  for (auto _ : state) {
    AddClass("bag", ++seed);
  }
}
BENCHMARK(BM_AddClasses)
    ->Iterations(3)
    ->Unit(benchmark::kSecond)
    ->UseRealTime();

// A class that the store has already, for a caller who asks again.
void BM_AddClassesStored(benchmark::State& state) {
  AddClass("coat", 0);
  int call = 0;
  for (auto _ : state) {
    v1::AddClassesRequest request;
    request.set_vocabulary(absl::StrCat("stored-", ++call));
    request.add_classes()->set_name("coat");
    benchmark::DoNotOptimize(OrDie(Setup::Get().client->AddClasses(request)));
  }
}
BENCHMARK(BM_AddClassesStored)->Unit(benchmark::kMillisecond)->UseRealTime();

// A 64-pixel scene against ten classes (one prototype set under ten names: what
// it costs does not depend on the values), warm.
void BM_Segment(benchmark::State& state) {
  Setup& setup = Setup::Get();
  v1::AddClassesRequest add;
  add.set_vocabulary("ten");
  for (const char* name : {"t-shirt", "trousers", "pullover", "dress", "coat",
                           "sandal", "shirt", "sneaker", "bag", "ankle boot"}) {
    v1::ClassSpec* spec = add.add_classes();
    spec->set_name(name);
    spec->set_prompt("coat");
  }
  OrDie(setup.client->AddClasses(add));
  v1::SegmentRequest request;
  request.set_vocabulary("ten");
  request.mutable_image()->set_encoded(ReadScene());
  OrDie(setup.client->Segment(request));
  for (auto _ : state) {
    benchmark::DoNotOptimize(OrDie(setup.client->Segment(request)));
  }
}
BENCHMARK(BM_Segment)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace

int RunBenchmarks(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 2;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  Setup::Slot().reset();
  return 0;
}

}  // namespace ovdiff

int main(int argc, char** argv) { return ovdiff::RunBenchmarks(argc, argv); }
