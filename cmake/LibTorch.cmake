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
    "Run `make deps` to fetch the pinned one, or pass -DLIBTORCH_ROOT=<folder>.")
endif()

add_library(ovdiff_torch INTERFACE)
add_library(ovdiff::torch ALIAS ovdiff_torch)
target_include_directories(ovdiff_torch SYSTEM INTERFACE
  "${LIBTORCH_ROOT}/include"
  "${LIBTORCH_ROOT}/include/torch/csrc/api/include")
target_link_libraries(ovdiff_torch INTERFACE
  "${LIBTORCH_ROOT}/lib/libtorch_cpu.so" "${LIBTORCH_ROOT}/lib/libc10.so"
  # -pthread changes the preprocessor, so all users of the precompiled header
  # must have it as Abseil's have.
  Threads::Threads)
# libtorch_cpu of the CUDA wheel needs these two at load time, from beside it.
target_link_options(ovdiff_torch INTERFACE
  "-Wl,-rpath,${LIBTORCH_ROOT}/lib" "-Wl,-rpath-link,${LIBTORCH_ROOT}/lib")

# One precompiled header for all torch code: a unit costs seconds, not half a minute.
set(OVDIFF_TORCH_PCH_SOURCE "${CMAKE_CURRENT_BINARY_DIR}/torch_pch.cc")
file(WRITE "${OVDIFF_TORCH_PCH_SOURCE}" "// Carries the precompiled header of cmake/LibTorch.cmake.\n")
add_library(ovdiff_torch_pch OBJECT "${OVDIFF_TORCH_PCH_SOURCE}")
target_link_libraries(ovdiff_torch_pch PRIVATE ovdiff::torch)
set_target_properties(ovdiff_torch_pch PROPERTIES POSITION_INDEPENDENT_CODE ON)
ovdiff_compile_options(ovdiff_torch_pch)
target_precompile_headers(ovdiff_torch_pch PRIVATE <torch/torch.h>)

function(ovdiff_use_torch_pch target)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_precompile_headers(${target} REUSE_FROM ovdiff_torch_pch)
endfunction()
