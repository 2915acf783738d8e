# Installs BUILD into a scratch prefix under WORK, moves the prefix, and has the consumer find the
# library where it now lies: through find_package and, when PKG_CONFIG is given, through pkg-config.
# Variables: BUILD SOURCE WORK CONFIG CC CXX PKG_CONFIG LIBDIR, the last relative to the prefix.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE text ERROR_VARIABLE text)
  if(NOT status EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${status}:\n${text}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --config ${CONFIG} --prefix ${WORK}/first)
file(RENAME ${WORK}/first ${WORK}/moved)

file(GLOB_RECURSE private ${WORK}/moved/*_impl.h ${WORK}/moved/*_tmpl.h ${WORK}/moved/*kernels*)
if(private)
  message(FATAL_ERROR "private files were installed: ${private}")
endif()

# A consumer must not see the source tree, nor what is installed on this machine.
foreach(shared OFF ON)
  run(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build-${shared} -DCMAKE_C_COMPILER=${CC}
      -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_BUILD_TYPE=${CONFIG} -DBUILD_SHARED_LIBS=${shared}
      -DCMAKE_PREFIX_PATH=${WORK}/moved)
  run(${CMAKE_COMMAND} --build ${WORK}/build-${shared})
  run(${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/build-${shared} --no-tests=error --output-on-failure)
  file(STRINGS ${WORK}/build-${shared}/CMakeCache.txt found REGEX "^seqgrad_DIR:")
  string(FIND "${found}" "=${WORK}/moved/" at)
  if(at EQUAL -1)
    message(FATAL_ERROR "another seqgrad was found: ${found}")
  endif()
endforeach()

if(NOT PKG_CONFIG)
  message(STATUS "no pkg-config here: only find_package was tried")
  return()
endif()
set(library ${WORK}/moved/${LIBDIR})
set(ENV{PKG_CONFIG_PATH} ${library}/pkgconfig)
set(ENV{LD_LIBRARY_PATH} ${library})
foreach(link shared static)
  set(query --cflags --libs)
  if(link STREQUAL "static")
    list(APPEND query --static)
  endif()
  execute_process(COMMAND ${PKG_CONFIG} ${query} seqgrad OUTPUT_VARIABLE flags
                  COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  if(link STREQUAL "static")
    list(TRANSFORM flags REPLACE "^-lseqgrad$" "-l:libseqgrad.a")
  endif()
  # program.c calls the C library's mathematics itself, hence its own -lm.
  foreach(source program.c own_op.c)
    run(${CC} -std=c11 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/${source} -o ${WORK}/${link} ${flags} -lm)
    run(${WORK}/${link})
  endforeach()
  if(CXX)
    run(${CXX} -std=c++11 -Wall -Wextra -Wpedantic -Werror ${SOURCE}/program.cpp -o ${WORK}/${link} ${flags})
    run(${WORK}/${link})
  endif()
endforeach()
