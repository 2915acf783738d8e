# Configures and builds what runs under ThreadSanitizer: cmake -DSOURCE= -DBUILD= -DCC= -DGENERATOR=
# -DMAKE= -P tsan.cmake. The instruction sets' kernels are left out: they start no threads, and
# take most of the time to compile.
# Another compiler than last time would lose the options.
file(REMOVE_RECURSE ${BUILD}/CMakeCache.txt ${BUILD}/CMakeFiles)
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} -S ${SOURCE} -B ${BUILD} -G ${GENERATOR} -DCMAKE_MAKE_PROGRAM=${MAKE}
          -DCMAKE_C_COMPILER=${CC} -DCMAKE_BUILD_TYPE=RelWithDebInfo -DSEQGRAD_SANITIZE=thread
          -DSEQGRAD_TESTS=ON -DSEQGRAD_TUTORIALS=ON -DSEQGRAD_INSTALL=OFF
          -DSEQGRAD_KERNELS=base)
execute_process(COMMAND_ERROR_IS_FATAL ANY
  COMMAND ${CMAKE_COMMAND} --build ${BUILD} --parallel 2 --target tsan)
