# What SEQGRAD_KERNELS builds: cmake -DSOURCE= -DBUILD= -DCC= -DGENERATOR= -DMAKE= -DBEST= -P kernels.cmake
# BEST is a program that names the best set of this machine, asked by a build with all of them.
unset(ENV{SEQGRAD_ISA})

# Configures with the arguments in a folder of its own, into `status` and `said`.
function(configure)
  file(REMOVE_RECURSE ${BUILD})
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR} -DCMAKE_MAKE_PROGRAM=${MAKE}
                          -DCMAKE_C_COMPILER=${CC} -DSEQGRAD_TUTORIALS=OFF -DSEQGRAD_INSTALL=OFF ${ARGN}
                  RESULT_VARIABLE code OUTPUT_VARIABLE out ERROR_VARIABLE err)
  string(REGEX REPLACE "[ \n]+" " " text "${out} ${err}")
  set(status ${code} PARENT_SCOPE)
  set(said "${text}" PARENT_SCOPE)
endfunction()

function(builds wish sets)
  configure(-DSEQGRAD_KERNELS=${wish})
  if(NOT status EQUAL 0 OR NOT said MATCHES "-- Kernels: ${sets} --")
    message(FATAL_ERROR "SEQGRAD_KERNELS=${wish} should build ${sets}: ${said}")
  endif()
endfunction()

function(refuses sentence)
  configure(${ARGN})
  string(FIND "${said}" "${sentence}" at)
  if(status EQUAL 0 OR at EQUAL -1)
    message(FATAL_ERROR "${ARGN} should be refused with `${sentence}`: ${said}")
  endif()
endfunction()

execute_process(COMMAND ${BEST} OUTPUT_VARIABLE best OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
if(best STREQUAL "base")
  builds(native "base")
else()
  builds(native "base ${best}")
endif()
builds(base "base")
refuses("SEQGRAD_KERNELS is fast; it can be all, native or base." -DSEQGRAD_KERNELS=fast)
refuses("asks the processor of this machine, and this build is for another" -DSEQGRAD_KERNELS=native
        -DCMAKE_SYSTEM_NAME=Linux -DCMAKE_SYSTEM_PROCESSOR=x86_64)
