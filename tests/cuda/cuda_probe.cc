// cuda_probe: whether the CUDA build loads, and what it finds on this machine.
//
// It touches what the engine will use (streams, graphs, a kernel), so that a
// build machine without a GPU still proves headers, linking and loading. Exit
// 0: a GPU answered, or there is no driver, which it says; 1: anything else.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <exception>

#include "ATen/cuda/CUDAGraph.h"
#include "c10/cuda/CUDAGuard.h"
#include "c10/cuda/CUDAStream.h"
#include "torch/torch.h"

namespace {

// A small product, captured in a graph and replayed, equal to the CPU's.
bool GraphAgreesWithCpu() {
  const torch::Tensor on_cpu = torch::arange(64.0F).reshape({8, 8}) / 64;
  torch::Tensor input = on_cpu.cuda();
  torch::Tensor output = torch::mm(input, input);  // loads the kernel
  at::cuda::CUDAGraph graph;
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  {
    const c10::cuda::CUDAStreamGuard guard(stream);
    graph.capture_begin();
    output = torch::mm(input, input);
    graph.capture_end();
    graph.replay();
  }
  stream.synchronize();
  return torch::allclose(output.cpu(), torch::mm(on_cpu, on_cpu), 1e-3, 1e-3);
}

int Probe() {
  int runtime = 0;
  if (cudaRuntimeGetVersion(&runtime) != cudaSuccess) {
    runtime = 0;
  }
  std::printf("cuda_probe: LibTorch %s, CUDA runtime %d.%d loaded\n",
              TORCH_VERSION, runtime / 1000, runtime % 1000 / 10);
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver || error == cudaErrorNoDevice) {
    std::printf(
        "cuda_probe: no NVIDIA driver or device on this machine (%s); the "
        "build "
        "is sound, but --device cuda needs one\n",
        cudaGetErrorString(error));
    return 0;
  }
  if (error != cudaSuccess) {
    std::printf("cuda_probe: error: %s\n", cudaGetErrorString(error));
    return 1;
  }
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) == cudaSuccess) {
      std::printf("cuda_probe: cuda:%d %s, %zu MiB\n", i, properties.name,
                  properties.totalGlobalMem >> 20);
    }
  }
  if (!GraphAgreesWithCpu()) {
    std::printf(
        "cuda_probe: error: a graph's product differs from the CPU's\n");
    return 1;
  }
  std::printf("cuda_probe: a captured graph agrees with the CPU\n");
  return 0;
}

}  // namespace

int main() {
  try {
    return Probe();
  } catch (const std::exception& error) {
    std::printf("cuda_probe: error: %s\n", error.what());
    return 1;
  }
}
