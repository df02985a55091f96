# Warnings, hardening and sanitizers. Each hardening flag is probed, so gcc and clang both build.
include(CheckCCompilerFlag)

option(HD_WERROR "Treat warnings as errors" OFF)
set(HD_SANITIZE "" CACHE STRING "Sanitizers: address,undefined or thread")
option(HD_COVERAGE "Instrument for gcov" OFF)
option(HD_FUZZ "Build fuzz targets (clang)" OFF)

add_library(hd_flags INTERFACE)
target_include_directories(hd_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_options(hd_flags INTERFACE
    -include ${CMAKE_SOURCE_DIR}/fs/base/prelude.h
    -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wvla
    -Wswitch-enum -Wundef -Wwrite-strings -Wformat=2 -Wno-sign-conversion
    -fno-omit-frame-pointer -fno-strict-aliasing)
if(HD_WERROR)
    target_compile_options(hd_flags INTERFACE -Werror)
endif()

function(hd_probe flag)
    string(MAKE_C_IDENTIFIER "HAVE${flag}" name)
    check_c_compiler_flag("${flag}" ${name})
    if(${name})
        target_compile_options(hd_flags INTERFACE ${flag})
    endif()
endfunction()

hd_probe(-fstack-protector-strong)
hd_probe(-fstack-clash-protection)
hd_probe(-fcf-protection)
if(CMAKE_BUILD_TYPE STREQUAL "Release" OR CMAKE_BUILD_TYPE STREQUAL "RelWithDebInfo")
    target_compile_options(hd_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(hd_flags INTERFACE -Wl,-z,relro,-z,now)

if(HD_SANITIZE)
    target_compile_options(hd_flags INTERFACE -fsanitize=${HD_SANITIZE} -fno-sanitize-recover=undefined)
    target_link_options(hd_flags INTERFACE -fsanitize=${HD_SANITIZE})
endif()
if(HD_COVERAGE)
    target_compile_options(hd_flags INTERFACE --coverage)
    target_link_options(hd_flags INTERFACE --coverage)
endif()
if(HD_FUZZ)
    target_compile_options(hd_flags INTERFACE -fsanitize=fuzzer-no-link,address,undefined)
    target_link_options(hd_flags INTERFACE -fsanitize=address,undefined)
endif()
