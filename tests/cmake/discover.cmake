# Runs EXE --list and writes one add_test per Criterion test into OUT.
#
# Four traps are closed here: a filter that matches nothing exits 0; a leak found by the sanitizer
# is printed after the verdict was sent; a skipped test counts as passed; and the runner would start
# as many workers as there are cores although ctest does so already.
set(ENV{LC_ALL} C)
set(ENV{ASAN_OPTIONS} detect_leaks=0)
execute_process(COMMAND ${EXE} --list OUTPUT_VARIABLE list ERROR_VARIABLE error RESULT_VARIABLE status)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "${EXE} --list failed (${status}): ${error}")
endif()

string(REPLACE "\n" ";" lines "${list}")
set(body "")
foreach(line IN LISTS lines)
  if(line MATCHES "^([A-Za-z0-9_]+): [0-9]+ tests?")
    set(suite ${CMAKE_MATCH_1})
  elseif(line MATCHES "([A-Za-z0-9_]+)[ \t\r]*$")
    set(test ${CMAKE_MATCH_1})
    set(id "[==[${NAME}.${suite}.${test}]==]")
    string(APPEND body
      "add_test(${id} [==[${EXE}]==] --jobs 1 --verbose --color=never --filter [==[${suite}/${test}]==])\n"
      "set_tests_properties(${id} PROPERTIES TIMEOUT 120 "
      "FAIL_REGULAR_EXPRESSION [==[Tested: 0 ;ERROR: [A-Za-z]+Sanitizer;runtime error: ]==] "
      "SKIP_REGULAR_EXPRESSION [==[SKIP. ${suite}::${test}: ]==] ENVIRONMENT [==[${ENVIRONMENT}]==])\n")
  endif()
endforeach()
if(body STREQUAL "")
  message(FATAL_ERROR "${EXE} lists no tests")
endif()
file(WRITE "${OUT}" "${body}")
