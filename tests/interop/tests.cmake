# Interop: berth beside real peers. Rows: add_test + SKIP_RETURN_CODE ${BERTH_SKIP_CODE}. Tests that
# boot guests run side by side: each has a sandbox world, a subnet and ports of its own.
add_test(NAME interop.e2e COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/e2e_test.py
  $<TARGET_FILE:berth> ${CMAKE_SOURCE_DIR}/examples)
set_tests_properties(interop.e2e PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 1200)
add_test(NAME interop.examples COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/examples_test.py
  $<TARGET_FILE:berth> ${CMAKE_SOURCE_DIR}/examples)
set_tests_properties(interop.examples PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
# The same life of a host on each family. The first run of an image builds its root file system.
foreach(image debian-12 ubuntu-24.04 amazon-linux-2023)
  add_test(NAME interop.family_${image} COMMAND ${BERTH_TEST_PYTHON}
    ${CMAKE_CURRENT_LIST_DIR}/family_test.py $<TARGET_FILE:berth> ${image})
  set_tests_properties(interop.family_${image} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE}
    TIMEOUT 600)
endforeach()
add_test(NAME interop.schema COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/schema_test.py
  $<TARGET_FILE:berth> ${CMAKE_SOURCE_DIR}/examples)
set_tests_properties(interop.schema PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE})
# The whole CLI over one host that stands already, for tests of the host world alone.
add_executable(berth_fixed_host ${CMAKE_SOURCE_DIR}/cmd/main.c ${CMAKE_CURRENT_LIST_DIR}/fixed_host.c)
target_link_libraries(berth_fixed_host PRIVATE berth_cmd)
add_test(NAME interop.sshd COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/sshd_test.py
  $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.sshd PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
foreach(part given given_login)
  add_test(NAME interop.${part} COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${part}_test.py
    $<TARGET_FILE:berth>)
  set_tests_properties(interop.${part} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
endforeach()
foreach(image debian-12 amazon-linux-2023)
  add_test(NAME interop.given_life_${image} COMMAND ${BERTH_TEST_PYTHON}
    ${CMAKE_CURRENT_LIST_DIR}/given_life_test.py $<TARGET_FILE:berth> ${image})
  set_tests_properties(interop.given_life_${image} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE}
    TIMEOUT 400)
endforeach()
add_test(NAME interop.files_peer COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/files_peer_test.py $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.files_peer PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.cut COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cut_test.py
  $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.cut PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.link COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/link_test.py
  $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.link PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.turns COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/turns_test.py
  $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.turns PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.stop COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/stop_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.stop PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.python COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/python_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.python PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.lock COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/lock_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.lock PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.kernels COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/kernels_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.kernels PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.gpu COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/gpu_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.gpu PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.old_python COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/old_python_test.py $<TARGET_FILE:berth>)
set_tests_properties(interop.old_python PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_executable(project_set ${CMAKE_CURRENT_LIST_DIR}/project_set.c)
target_link_libraries(project_set PRIVATE berth_engine)
add_test(NAME interop.project COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/project_test.py
  $<TARGET_FILE:project_set>)
set_tests_properties(interop.project PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
add_test(NAME interop.requirements COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/requirements_test.py $<TARGET_FILE:project_set>)
set_tests_properties(interop.requirements PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
add_test(NAME interop.requirements_install COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/requirements_install_test.py $<TARGET_FILE:berth>)
set_tests_properties(interop.requirements_install PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
foreach(part moto moto_faults moto_keys)
  add_test(NAME interop.${part} COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${part}_test.py
    $<TARGET_FILE:berth>)
  set_tests_properties(interop.${part} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
endforeach()
add_test(NAME interop.fleet COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/fleet_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.fleet PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
foreach(part ec2_fields ec2_address)
  add_test(NAME interop.${part} COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/${part}_test.py
    $<TARGET_FILE:berth>)
  set_tests_properties(interop.${part} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
endforeach()
add_test(NAME interop.spot COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/spot_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.spot PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.cost COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cost_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.cost PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
# The sandbox's endpoint, by area; api: who asks, states, ends.
foreach(area api images network market faults volumes)
  add_test(NAME interop.sandbox_${area} COMMAND ${BERTH_TEST_PYTHON}
    ${CMAKE_CURRENT_LIST_DIR}/sandbox_${area}_test.py $<TARGET_FILE:berth>)
  set_tests_properties(interop.sandbox_${area} PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
endforeach()
add_executable(host_script ${CMAKE_CURRENT_LIST_DIR}/host_script.c)
target_link_libraries(host_script PRIVATE berth_providers)
add_test(NAME interop.storage COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/storage_test.py
  $<TARGET_FILE:host_script>)
set_tests_properties(interop.storage PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
add_test(NAME interop.environment COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/environment_test.py $<TARGET_FILE:host_script>)
set_tests_properties(interop.environment PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 60)
add_test(NAME interop.watch COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/watch_test.py
  $<TARGET_FILE:host_script>)
set_tests_properties(interop.watch PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.data COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/data_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.data PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 400)
add_test(NAME interop.verbs COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/verbs_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.verbs PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 180)
add_test(NAME interop.faults COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/faults_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.faults PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.client COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/client_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.client PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.tunnel COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/tunnel_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.tunnel PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.jupyter COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/jupyter_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.jupyter PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.credentials COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/credentials_test.py $<TARGET_FILE:berth>)
set_tests_properties(interop.credentials PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
add_test(NAME interop.cp COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cp_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.cp PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.cp_peer COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/cp_peer_test.py
  $<TARGET_FILE:berth_fixed_host>)
set_tests_properties(interop.cp_peer PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
# The same life of a server on an EC2 that others wrote, by each sort of credentials, and on ours.
foreach(credentials static session role)
  add_test(NAME interop.life_moto_${credentials} COMMAND ${BERTH_TEST_PYTHON}
    ${CMAKE_CURRENT_LIST_DIR}/life_test.py $<TARGET_FILE:berth> moto ${credentials})
  set_tests_properties(interop.life_moto_${credentials} PROPERTIES
    SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
endforeach()
add_test(NAME interop.life_sandbox COMMAND ${BERTH_TEST_PYTHON}
  ${CMAKE_CURRENT_LIST_DIR}/life_test.py $<TARGET_FILE:berth> sandbox)
set_tests_properties(interop.life_sandbox PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 600)
add_test(NAME interop.user COMMAND ${BERTH_TEST_PYTHON} ${CMAKE_CURRENT_LIST_DIR}/user_test.py
  $<TARGET_FILE:berth>)
set_tests_properties(interop.user PROPERTIES SKIP_RETURN_CODE ${BERTH_SKIP_CODE} TIMEOUT 300)
