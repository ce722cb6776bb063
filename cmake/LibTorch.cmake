# ovdiff::torch: LibTorch as an imported target.
#
# LIBTORCH_ROOT is a folder with include/ and lib/, as cmake/fetch_deps.py
# lays it out from the wheel, or any other LibTorch 2.x. `find_package(Torch)` of
# the wheel asks for a whole CUDA toolkit even where only CPU libraries are used,
# hence a target of our own.
set(LIBTORCH_ROOT "${PROJECT_SOURCE_DIR}/.deps/libtorch" CACHE PATH
    "Folder with LibTorch's include/ and lib/")

if(NOT EXISTS "${LIBTORCH_ROOT}/include/ATen/ATen.h")
  message(FATAL_ERROR "No LibTorch at LIBTORCH_ROOT=${LIBTORCH_ROOT}. "
    "Run `make deps` (`make cuda` for the one with CUDA) to fetch the pinned one, or pass "
    "-DLIBTORCH_ROOT=<folder>.")
endif()

add_library(ovdiff_torch INTERFACE)
add_library(ovdiff::torch ALIAS ovdiff_torch)
target_include_directories(ovdiff_torch SYSTEM INTERFACE
  "${LIBTORCH_ROOT}/include"
  "${LIBTORCH_ROOT}/include/torch/csrc/api/include")
target_link_libraries(ovdiff_torch INTERFACE
  "${LIBTORCH_ROOT}/lib/libtorch_cpu.so" "${LIBTORCH_ROOT}/lib/libc10.so")
# -pthread sets a macro, so the precompiled header and all its users must agree on
# it; Abseil's targets bring it in.
target_compile_options(ovdiff_torch INTERFACE -pthread)
# libtorch_cpu of the CUDA wheel needs these two at load time, from beside it.
target_link_options(ovdiff_torch INTERFACE
  "-Wl,-rpath,${LIBTORCH_ROOT}/lib" "-Wl,-rpath-link,${LIBTORCH_ROOT}/lib")

# The same sources with CUDA: code asks `#if defined(OVDIFF_CUDA)`.
if(OVDIFF_CUDA)
  if(NOT EXISTS "${LIBTORCH_ROOT}/lib/libtorch_cuda.so")
    message(FATAL_ERROR "OVDIFF_CUDA=ON, but LIBTORCH_ROOT=${LIBTORCH_ROOT} has no "
      "lib/libtorch_cuda.so. `make cuda` fetches one that has.")
  endif()
  # Where the headers of CUDA itself are: beside the pinned LibTorch, or a toolkit's.
  if(EXISTS "${LIBTORCH_ROOT}/cuda/include/cuda_runtime.h")
    set(OVDIFF_CUDA_INCLUDE "${LIBTORCH_ROOT}/cuda/include" "${LIBTORCH_ROOT}/cuda/include/cccl")
    # NVIDIA's libraries are named by version alone, so cudart is named in full.
    set(OVDIFF_CUDART "${LIBTORCH_ROOT}/lib/libcudart.so.13")
  else()
    find_package(CUDAToolkit REQUIRED)
    set(OVDIFF_CUDA_INCLUDE ${CUDAToolkit_INCLUDE_DIRS})
    set(OVDIFF_CUDART CUDA::cudart)
  endif()
  target_compile_definitions(ovdiff_torch INTERFACE OVDIFF_CUDA=1)
  target_include_directories(ovdiff_torch SYSTEM INTERFACE ${OVDIFF_CUDA_INCLUDE})
  # Programs load libtorch_cuda when a GPU is asked for (engine/runtime); only
  # what calls CUDA's API by name links it, by ovdiff::torch_cuda.
  add_library(ovdiff_torch_cuda INTERFACE)
  add_library(ovdiff::torch_cuda ALIAS ovdiff_torch_cuda)
  target_link_libraries(ovdiff_torch_cuda INTERFACE ovdiff::torch
    "-Wl,--push-state,--no-as-needed" "${LIBTORCH_ROOT}/lib/libtorch_cuda.so" "-Wl,--pop-state"
    "${LIBTORCH_ROOT}/lib/libc10_cuda.so" ${OVDIFF_CUDART})
endif()

# One precompiled header for all torch code: a unit costs seconds, not half a minute.
set(OVDIFF_TORCH_PCH_SOURCE "${CMAKE_CURRENT_BINARY_DIR}/torch_pch.cc")
file(WRITE "${OVDIFF_TORCH_PCH_SOURCE}" "// Carries the precompiled header of cmake/LibTorch.cmake.\n")
add_library(ovdiff_torch_pch OBJECT "${OVDIFF_TORCH_PCH_SOURCE}")
target_link_libraries(ovdiff_torch_pch PRIVATE ovdiff::torch)
set_target_properties(ovdiff_torch_pch PROPERTIES POSITION_INDEPENDENT_CODE ON)
ovdiff_compile_options(ovdiff_torch_pch)
target_precompile_headers(ovdiff_torch_pch PRIVATE <torch/torch.h>)

function(ovdiff_use_torch_pch target)
  # The header is compiled with -fPIC; for programs CMake would write -fPIE, which
  # does not fit it.
  get_target_property(type ${target} TYPE)
  if(type STREQUAL "EXECUTABLE")
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE OFF)
    target_compile_options(${target} PRIVATE -fPIC)
  else()
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
  target_precompile_headers(${target} REUSE_FROM ovdiff_torch_pch)
endfunction()
