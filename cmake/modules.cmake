# One target per module. A module may link only what stands below it: this table is the law, and
# tests/unit/layers (./dev layers) checks every #include against it.
#
#   estiba_module(NAME DEPS…)  sources src/NAME/*.cc, tests src/NAME/*_test.cc -> NAME_test

find_package(Threads REQUIRED)

# What nearly every source includes, parsed once. Sources still name what they use: -DESTIBA_PCH=OFF builds without.
option(ESTIBA_PCH "Precompile the common headers" ON)
set(common_headers <algorithm> <array> <chrono> <cstdint> <functional> <map> <memory> <mutex> <optional> <set> <span>
    <string> <string_view> <thread> <utility> <vector> <fmt/format.h> <boost/json.hpp>)

# estiba_pch(TARGET HOME HEADERS…): TARGET uses the precompiled HEADERS of HOME, the first that asked for them.
function(estiba_pch target home)
  if(NOT ESTIBA_PCH)
    return()
  endif()
  if(target STREQUAL home)
    target_precompile_headers(${target} PRIVATE ${ARGN})
  else()
    target_precompile_headers(${target} REUSE_FROM ${home})
  endif()
endfunction()

function(estiba_module name)
  cmake_parse_arguments(M "" "" "DEPS;LIBS" ${ARGN})
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/${name}/*.cc ${CMAKE_SOURCE_DIR}/src/${name}/*/*.cc)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cc$")
  list(FILTER tests INCLUDE REGEX "_test\\.cc$")
  if(NOT sources)
    add_library(estiba_${name} INTERFACE)
    set(scope INTERFACE)
  else()
    add_library(estiba_${name} STATIC ${sources})
    set(scope PUBLIC)
    estiba_pch(estiba_${name} estiba_base ${common_headers})
  endif()
  list(TRANSFORM M_DEPS PREPEND estiba_)
  target_link_libraries(estiba_${name} ${scope} ${M_DEPS} ${M_LIBS} Threads::Threads)
  set_property(GLOBAL APPEND PROPERTY ESTIBA_MODULES ${name})
  if(tests)
    add_executable(${name}_test EXCLUDE_FROM_ALL ${tests})
    target_link_libraries(${name}_test PRIVATE estiba_${name} gtest gmock gtest_main)
    target_compile_definitions(${name}_test PRIVATE ESTIBA_TEST_DATA="${CMAKE_SOURCE_DIR}/tests/golden"
                               ESTIBA_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
    estiba_pch(${name}_test base_test ${common_headers} <gtest/gtest.h> <gmock/gmock.h>)
    add_test(NAME ${name} COMMAND ${name}_test WORKING_DIRECTORY ${CMAKE_BINARY_DIR})
    set_property(GLOBAL APPEND PROPERTY ESTIBA_TESTS ${name}_test)
  endif()
endfunction()

# floor 0
estiba_module(base LIBS crypto z)
# floor 1
estiba_module(sys DEPS base LIBS seccomp)
estiba_module(oci DEPS base)
estiba_module(apitypes DEPS base)
estiba_module(db DEPS base LIBS sqlite3 m)
# floor 2
estiba_module(archive DEPS sys LIBS archive zstd deflate z lzma bz2 lz4 xml2 nettle acl crypto)
estiba_module(http DEPS sys LIBS ssl crypto)
# floor 3
estiba_module(content DEPS oci db sys)
estiba_module(snapshot DEPS oci db sys archive)
estiba_module(net DEPS db sys)
estiba_module(runtime DEPS oci sys)
# floor 4
estiba_module(registry DEPS oci http content)
estiba_module(monitor DEPS oci sys runtime)
estiba_module(volume DEPS db sys archive)
# floor 5
estiba_module(image DEPS content snapshot registry)
# floor 6
estiba_module(container DEPS image runtime monitor net volume snapshot apitypes)
estiba_module(build DEPS image archive snapshot apitypes http monitor LIBS zstd)
# floor 7
estiba_module(engine DEPS container build image apitypes)
# floor 8
estiba_module(api DEPS engine http apitypes)
estiba_module(cli DEPS apitypes http archive sys)

# floor 9: the one executable
file(GLOB main_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/main/*.cc)
if(main_sources)
  add_executable(estiba ${main_sources})
  target_link_libraries(estiba PRIVATE estiba_api estiba_cli)
  if(ESTIBA_STATIC)  # main/unwind.cc says why
    target_link_options(estiba PRIVATE LINKER:--eh-frame-hdr,--wrap=__register_frame_info,--wrap=__deregister_frame_info)
  endif()
endif()

get_property(all_tests GLOBAL PROPERTY ESTIBA_TESTS)
add_custom_target(unit_tests DEPENDS ${all_tests})
