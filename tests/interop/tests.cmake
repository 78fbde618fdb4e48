# Interop: berth beside real peers. Rows: add_test + SKIP_RETURN_CODE ${BERTH_SKIP_CODE}; tests that
# boot guests share RESOURCE_LOCK sandbox.
add_test(NAME interop.e2e COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e_test.py
  $<TARGET_FILE:berth> ${CMAKE_SOURCE_DIR}/examples)
set_tests_properties(interop.e2e PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 1200
  RESOURCE_LOCK sandbox)
add_test(NAME interop.schema COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/schema_test.py
  $<TARGET_FILE:berth> ${CMAKE_SOURCE_DIR}/examples)
set_tests_properties(interop.schema PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE})
