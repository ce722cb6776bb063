#include "engine/runtime/compute_device.h"

#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "engine/base/status_macros.h"
#include "engine/runtime/torch_status.h"
#include "torch/torch.h"
#if defined(OVDIFF_CUDA)
#include <dlfcn.h>
#endif

namespace ovdiff::engine {
namespace {

constexpr int kMaxThreads = 1024;

// The index in "cuda" (0) or "cuda:N"; kInvalidArgument for other names.
absl::StatusOr<int> CudaIndex(const std::string& name) {
  absl::string_view rest = name;
  int index = 0;
  if (absl::ConsumePrefix(&rest, "cuda") &&
      (rest.empty() || (absl::ConsumePrefix(&rest, ":") &&
                        absl::SimpleAtoi(rest, &index) && index >= 0))) {
    return index;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "device is \"", name, "\"; allowed are cpu, cuda and cuda:N"));
}

#if defined(OVDIFF_CUDA)
// Loads torch's CUDA kernels, which register themselves. Not linked: they and
// what they need take seconds and gigabytes that a CPU server has no use for,
// and their thread-local data would not fit the small stacks of the admin
// server's threads (civetweb's, 100 KB).
absl::Status LoadCuda(const std::string& name) {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL) != nullptr) {
    return absl::OkStatus();
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "device ", name, ": LibTorch's CUDA library does not load (", dlerror(),
      "); `make cuda` lays one out, or use device cpu"));
}
#endif

absl::Status CheckCuda(const std::string& name, int index) {
#if defined(OVDIFF_CUDA)
  OVDIFF_RETURN_IF_ERROR(LoadCuda(name));
  const int count = static_cast<int>(torch::cuda::device_count());
  if (count == 0) {
    return absl::FailedPreconditionError(absl::StrCat(
        "device ", name,
        ": this machine has no NVIDIA driver or no CUDA "
        "device that it can use; check nvidia-smi, or use device cpu"));
  }
  if (index >= count) {
    return absl::FailedPreconditionError(
        absl::StrCat("device ", name, ": this machine has ", count,
                     " CUDA device(s), cuda:0 to cuda:", count - 1));
  }
  return absl::OkStatus();
#else
  return absl::FailedPreconditionError(absl::StrCat(
      "device ", name, " (", index,
      "): this program was built without CUDA; "
      "build it with `make cuda` (-DOVDIFF_CUDA=ON), or use device cpu"));
#endif
}

absl::StatusOr<torch::Dtype> ParseDtype(const std::string& name) {
  if (name == "float32") return torch::kFloat32;
  if (name == "float16") return torch::kFloat16;
  if (name == "bfloat16") return torch::kBFloat16;
  return absl::InvalidArgumentError(absl::StrCat(
      "dtype is \"", name, "\"; allowed are float32, float16, bfloat16"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ComputeDevice>> ComputeDevice::Create(
    const Options& options) {
  if (options.num_threads < 0 || options.num_threads > kMaxThreads) {
    return absl::InvalidArgumentError(
        absl::StrCat("num_threads is ", options.num_threads,
                     "; allowed are 0 (all cores) to ", kMaxThreads));
  }
  if (options.name == "cpu") {
    int threads = options.num_threads;
    if (threads == 0) {
      threads =
          std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    }
    std::unique_ptr<ComputeDevice> result(
        new ComputeDevice(torch::Device(torch::kCPU), torch::kFloat32));
    result->name_ = "cpu";
    result->dtype_name_ = "float32";
    result->description_ = absl::StrCat("CPU, ", at::get_cpu_capability(), ", ",
                                        threads, " threads");
    result->lanes_ = std::make_unique<LanePool>(threads);
    return result;
  }
  OVDIFF_ASSIGN_OR_RETURN(const int index, CudaIndex(options.name));
  OVDIFF_ASSIGN_OR_RETURN(const torch::Dtype dtype,
                          ParseDtype(options.cuda_dtype));
  return CallTorch(
      "device " + options.name,
      [&]() -> absl::StatusOr<std::unique_ptr<ComputeDevice>> {
        OVDIFF_RETURN_IF_ERROR(CheckCuda(options.name, index));
        std::unique_ptr<ComputeDevice> result(new ComputeDevice(
            torch::Device(torch::kCUDA, static_cast<c10::DeviceIndex>(index)),
            dtype));
        result->name_ = absl::StrCat("cuda:", index);
        result->dtype_name_ = options.cuda_dtype;
        result->description_ = absl::StrCat("CUDA device ", index);
        return result;
      });
}

absl::Status ComputeDevice::ForEach(
    int64_t count, absl::FunctionRef<absl::Status(int64_t)> task) {
  if (lanes_ != nullptr) {
    return lanes_->Run(count, task);
  }
  for (int64_t i = 0; i < count; ++i) {
    OVDIFF_RETURN_IF_ERROR(CallTorch("a sample", [&] { return task(i); }));
  }
  return absl::OkStatus();
}

absl::StatusOr<torch::Tensor> ComputeDevice::MapBatch(
    const torch::Tensor& batch,
    absl::FunctionRef<torch::Tensor(const torch::Tensor&)> f) {
  const int64_t rows = batch.size(0);
  const int64_t step = samples_per_call(rows);
  const int64_t calls = (rows + step - 1) / step;
  std::vector<torch::Tensor> results(calls);
  OVDIFF_RETURN_IF_ERROR(ForEach(calls, [&](int64_t call) {
    const int64_t count = std::min(step, rows - call * step);
    results[call] = f(batch.narrow(0, call * step, count).clone());
    return absl::OkStatus();
  }));
  return CallTorch("batch results", [&] { return torch::cat(results); });
}

}  // namespace ovdiff::engine
