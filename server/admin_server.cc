#include "server/admin_server.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "CivetServer.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"
#include "prometheus/text_serializer.h"

// civetweb gives its threads 100 KB of stack, with no option for more, and
// glibc takes every library's thread-local data out of it. OpenBLAS, which
// OpenCV brings in where it is the system's BLAS, has 61 KB: beside LibTorch's
// no thread starts, and alone it leaves too little for an error page. So this
// stands before glibc's own, for the whole program.
extern "C" int pthread_attr_setstacksize(pthread_attr_t* attributes,
                                         size_t bytes) noexcept {
  constexpr size_t kMinBytes = 1 << 20;
  using Function = int (*)(pthread_attr_t*, size_t);
  static const auto next =
      reinterpret_cast<Function>(dlsym(RTLD_NEXT, "pthread_attr_setstacksize"));
  return next(attributes, std::max(bytes, kMinBytes));
}

namespace ovdiff::server {
namespace {

constexpr char kPlainText[] = "text/plain; charset=utf-8";

// civetweb's threads have 100 KB for their stack and the thread-local data of
// every library (OpenBLAS alone takes 60 KB): no mg_printf(), whose buffers
// are on the stack.
void Reply(mg_connection* connection, int code, const char* content_type,
           const std::string& body) {
  const std::string reply = absl::StrCat(
      "HTTP/1.1 ", code, " ", mg_get_response_code_text(connection, code),
      "\r\nContent-Type: ", content_type, "\r\nContent-Length: ", body.size(),
      "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n", body);
  mg_write(connection, reply.data(), reply.size());
}

// Connects to the loopback port and hangs up; that nobody answers is fine.
void Knock(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return;
  }
  sockaddr_in to = {};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(port));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  (void)connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof(to));
  close(fd);
}

class LiveHandler final : public CivetHandler {
 public:
  bool handleGet(CivetServer*, mg_connection* connection) override {
    Reply(connection, 200, kPlainText, "alive\n");
    return true;
  }
};

class ReadyHandler final : public CivetHandler {
 public:
  explicit ReadyHandler(const Readiness& readiness) : readiness_(readiness) {}
  bool handleGet(CivetServer*, mg_connection* connection) override {
    const Readiness::State state = readiness_.Get();
    Reply(connection, state.is_ready ? 200 : 503, kPlainText,
          state.text + "\n");
    return true;
  }

 private:
  const Readiness& readiness_;
};

class MetricsHandler final : public CivetHandler {
 public:
  explicit MetricsHandler(Metrics& metrics) : metrics_(metrics) {}

  void Add(std::weak_ptr<prometheus::Collectable> collector) {
    MutexLock lock(&mutex_);
    collectors_.push_back(std::move(collector));
  }

  bool handleGet(CivetServer*, mg_connection* connection) override {
    // The store is asked, too: on a thread with a stack of the usual size.
    std::string body;
    std::thread([this, &body] { body = Collect(); }).join();
    Reply(connection, 200, "text/plain; version=0.0.4; charset=utf-8", body);
    return true;
  }

 private:
  std::string Collect() {
    std::vector<prometheus::MetricFamily> families =
        metrics_.registry().Collect();
    MutexLock lock(&mutex_);
    for (const auto& held : collectors_) {
      if (const auto collector = held.lock()) {
        auto more = collector->Collect();
        std::move(more.begin(), more.end(), std::back_inserter(families));
      }
    }
    return prometheus::TextSerializer().Serialize(families);
  }

  Metrics& metrics_;
  Mutex mutex_;
  std::vector<std::weak_ptr<prometheus::Collectable>> collectors_
      ABSL_GUARDED_BY(mutex_);
};

}  // namespace

struct AdminServer::Impl {
  Impl(Metrics& metrics, const Readiness& readiness)
      : metrics_handler(metrics), ready_handler(readiness) {}

  MetricsHandler metrics_handler;
  ReadyHandler ready_handler;
  LiveHandler live_handler;
  std::string host;
  std::unique_ptr<CivetServer> server;  // Stops before its handlers go.
};

absl::StatusOr<std::unique_ptr<AdminServer>> AdminServer::Create(
    const std::string& address, Metrics& metrics, const Readiness& readiness) {
  auto impl = std::make_unique<Impl>(metrics, readiness);
  impl->host = address.substr(0, address.rfind(':'));
  try {
    impl->server = std::make_unique<CivetServer>(std::vector<std::string>{
        "listening_ports", address, "num_threads", "4",
        // A scraper that hangs must not hold one of them.
        "request_timeout_ms", "10000"});
  } catch (const CivetException& error) {
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on the admin address ", address, " (", error.what(),
        "); is it in use? --admin-listen sets another"));
  }
  impl->server->addHandler("/metrics", impl->metrics_handler);
  impl->server->addHandler("/readyz", impl->ready_handler);
  impl->server->addHandler("/livez", impl->live_handler);
  return std::unique_ptr<AdminServer>(new AdminServer(std::move(impl)));
}

AdminServer::AdminServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

AdminServer::~AdminServer() {
  // civetweb looks at its stop flag every two seconds, or when somebody
  // connects: so connect, until it has stopped.
  const int port = impl_->server->getListeningPorts().at(0);
  std::atomic<bool> is_closed{false};
  std::thread closer([this, &is_closed] {
    impl_->server->close();
    is_closed = true;
  });
  for (int i = 0; i < 100 && !is_closed; ++i) {
    Knock(port);
    absl::SleepFor(absl::Milliseconds(10));
  }
  closer.join();
}

void AdminServer::AddCollector(
    std::weak_ptr<prometheus::Collectable> collector) {
  impl_->metrics_handler.Add(std::move(collector));
}

std::string AdminServer::address() const {
  return absl::StrCat(impl_->host, ":",
                      impl_->server->getListeningPorts().at(0));
}

}  // namespace ovdiff::server
