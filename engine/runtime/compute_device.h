// ComputeDevice: where and in what precision the networks run.
#ifndef OVDIFF_ENGINE_RUNTIME_COMPUTE_DEVICE_H_
#define OVDIFF_ENGINE_RUNTIME_COMPUTE_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/runtime/lane_pool.h"
#include "torch/types.h"

namespace ovdiff::engine {

// Thread-hostile: belongs to the one thread that runs networks.
class ComputeDevice {
 public:
  struct Options {
    std::string name = "cpu";            // "cpu", "cuda" or "cuda:N"
    int num_threads = 0;                 // CPU lanes; 0: all cores
    std::string cuda_dtype = "float16";  // or "float32", "bfloat16"
  };

  // Fails with
  //   kInvalidArgument     a name or number that is not allowed
  //   kFailedPrecondition  CUDA asked of a build without it, or of a machine
  //                        without such a device or its driver
  static absl::StatusOr<std::unique_ptr<ComputeDevice>> Create(
      const Options& options);

  const std::string& name() const { return name_; }  // "cpu", "cuda:0"
  const std::string& description() const { return description_; }
  torch::Device device() const { return device_; }
  torch::Dtype dtype() const { return dtype_; }
  const std::string& dtype_name() const { return dtype_name_; }  // "float32"

  // How many of `batch_size` samples one network call may take without a
  // sample's result depending on the others: one on the CPU (see lane_pool.h),
  // all on CUDA, where results are equal to rounding only.
  int64_t samples_per_call(int64_t batch_size) const {
    return device_.is_cpu() ? 1 : batch_size;
  }

  // task(i) for each i in [0, count): on the CPU's lanes at once, on CUDA one
  // after the other. In inference mode; errors as LanePool::Run().
  absl::Status ForEach(int64_t count,
                       absl::FunctionRef<absl::Status(int64_t)> task);

  // f over the first dimension of `batch` [B, …], by calls of
  // samples_per_call(B) rows; the results are concatenated. Each call gets its
  // own aligned copy of its rows, for MKL's sums depend on alignment.
  absl::StatusOr<torch::Tensor> MapBatch(
      const torch::Tensor& batch,
      absl::FunctionRef<torch::Tensor(const torch::Tensor&)> f);

 private:
  ComputeDevice(torch::Device device, torch::Dtype dtype) noexcept
      : device_(device), dtype_(dtype) {}

  torch::Device device_;
  torch::Dtype dtype_;
  std::string name_;
  std::string description_;
  std::string dtype_name_;
  std::unique_ptr<LanePool> lanes_;  // CPU only
};

}  // namespace ovdiff::engine

#endif  // OVDIFF_ENGINE_RUNTIME_COMPUTE_DEVICE_H_
