# Helpers that every folder's CMakeLists.txt uses, so that a target is one call.

# Warnings and language level for code of ours, never for third parties.
function(ovdiff_compile_options target)
  target_compile_features(${target} PUBLIC cxx_std_20)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Werror)
  if(OVDIFF_SANITIZE)
    target_compile_options(${target} PRIVATE -fsanitize=${OVDIFF_SANITIZE}
                                             -fno-omit-frame-pointer)
    target_link_options(${target} PUBLIC -fsanitize=${OVDIFF_SANITIZE})
  endif()
  if(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    target_compile_options(${target} PRIVATE -Wthread-safety)
  endif()
endfunction()

# ovdiff_cc_library(NAME n HDRS … SRCS … DEPS … PRIVATE_DEPS … [TORCH])
# makes library `ovdiff_n` with alias `ovdiff::n`. Includes are from the root.
# TORCH: a library whose sources include torch; it shares one precompiled header.
function(ovdiff_cc_library)
  cmake_parse_arguments(ARG "TORCH" "NAME" "HDRS;SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target ovdiff_${ARG_NAME})
  add_library(${target} STATIC ${ARG_SRCS} ${ARG_HDRS})
  add_library(ovdiff::${ARG_NAME} ALIAS ${target})
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON LINKER_LANGUAGE CXX)
  target_include_directories(${target} PUBLIC ${PROJECT_SOURCE_DIR})
  target_link_libraries(${target} PUBLIC ${ARG_DEPS} PRIVATE ${ARG_PRIVATE_DEPS})
  ovdiff_compile_options(${target})
  if(ARG_TORCH)
    target_link_libraries(${target} PUBLIC ovdiff::torch)
    ovdiff_use_torch_pch(${target})
  endif()
endfunction()

# ovdiff_cc_binary(NAME n [OUTPUT file] SRCS … DEPS … [TORCH])
function(ovdiff_cc_binary)
  cmake_parse_arguments(ARG "TORCH" "NAME;OUTPUT" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_include_directories(${ARG_NAME} PRIVATE ${PROJECT_SOURCE_DIR})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS})
  ovdiff_compile_options(${ARG_NAME})
  # gcc 12 at -O3 takes `string = "literal"` for an overlapping copy (gcc bug
  # 105329, 105651); tests are full of those.
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    target_compile_options(${ARG_NAME} PRIVATE -Wno-restrict)
  endif()
  if(ARG_OUTPUT)
    set_target_properties(${ARG_NAME} PROPERTIES OUTPUT_NAME ${ARG_OUTPUT})
  endif()
  if(ARG_TORCH)
    target_link_libraries(${ARG_NAME} PRIVATE ovdiff::torch)
    ovdiff_use_torch_pch(${ARG_NAME})
  endif()
endfunction()

# ovdiff_cc_test(NAME n SRCS … DEPS … LABELS unit|parity|… [TORCH] [TIMEOUT s])
# One GoogleTest binary, one ctest entry. Tests find fixtures under
# OVDIFF_SOURCE_DIR, which is compiled in.
function(ovdiff_cc_test)
  cmake_parse_arguments(ARG "TORCH" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  set(torch)
  if(ARG_TORCH)
    set(torch TORCH)
  endif()
  ovdiff_cc_binary(NAME ${ARG_NAME} SRCS ${ARG_SRCS}
                   DEPS ${ARG_DEPS} GTest::gmock GTest::gtest_main ${torch})
  target_compile_definitions(${ARG_NAME} PRIVATE
    OVDIFF_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 300)
  endif()
  if(NOT ARG_LABELS)
    set(ARG_LABELS unit)
  endif()
  # Threads of OpenMP that spin while they wait make tests on a busy machine
  # hundreds of times slower. Brief: a log of CI that shows the failures only.
  set_tests_properties(${ARG_NAME} PROPERTIES LABELS "${ARG_LABELS}" TIMEOUT ${ARG_TIMEOUT}
                       ENVIRONMENT "OMP_WAIT_POLICY=passive;GTEST_BRIEF=1")
endfunction()

# ovdiff_cc_benchmark(NAME n SRCS … DEPS … [TORCH]): Google Benchmark binary; `make bench` runs all.
function(ovdiff_cc_benchmark)
  cmake_parse_arguments(ARG "TORCH" "NAME" "SRCS;DEPS" ${ARGN})
  set(torch)
  if(ARG_TORCH)
    set(torch TORCH)
  endif()
  ovdiff_cc_binary(NAME ${ARG_NAME} SRCS ${ARG_SRCS}
                   DEPS ${ARG_DEPS} benchmark::benchmark ${torch})
  target_compile_definitions(${ARG_NAME} PRIVATE
    OVDIFF_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set_property(GLOBAL APPEND PROPERTY OVDIFF_BENCHMARKS ${ARG_NAME})
endfunction()
