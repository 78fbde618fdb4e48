# Faults put in from outside: needs root for the sandbox's guests; skipped loudly elsewhere.
add_library(berth_kill_at MODULE ${CMAKE_CURRENT_LIST_DIR}/kill_at.c)
target_compile_definitions(berth_kill_at PRIVATE _GNU_SOURCE) # RTLD_NEXT
# Half of the points each, so that the two run side by side.
foreach(moment before after)
  add_test(NAME fault.kill_${moment} COMMAND ${BERTH_TEST_PYTHON}
    ${CMAKE_CURRENT_LIST_DIR}/kill_test.py $<TARGET_FILE:berth> $<TARGET_FILE:berth_kill_at> ${moment})
  set_tests_properties(fault.kill_${moment} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 1500)
endforeach()
