/* Environments of the children, and what op-node may not be started with. */
#include "shared/base/err.h"
#include "supervisor/childenv.h"
#include "testing.h"

#include <string.h>

static void op_node_comes_up_stopped(void **state)
{
    char *const given[] = {"PATH=/bin",
                           "OP_NODE_SEQUENCER_STOPPED=false",
                           "NOTIFY_SOCKET=/run/x",
                           "OP_NODE_L1_ETH_RPC=http://l1",
                           "OP_CONDUCTOR_RPC_PORT=1",
                           NULL};
    char **env = childenv_build_node(given, "http://127.0.0.1:8545", false);

    (void)state;
    assert_non_null(env);
    assert_string_equal(childenv_get(env, "OP_NODE_SEQUENCER_STOPPED"), "true");
    assert_string_equal(childenv_get(env, "OP_NODE_CONDUCTOR_ENABLED"), "true");
    assert_string_equal(childenv_get(env, "OP_NODE_CONDUCTOR_RPC"), "http://127.0.0.1:8545");
    assert_string_equal(childenv_get(env, "OP_NODE_L1_ETH_RPC"), "http://l1");
    assert_string_equal(childenv_get(env, "PATH"), "/bin");
    assert_null(childenv_get(env, "NOTIFY_SOCKET"));
    assert_null(childenv_get(env, "OP_CONDUCTOR_RPC_PORT"));
    childenv_free(env);
}

static void op_node_logs_json_when_we_do(void **state)
{
    char *const given[] = {"PATH=/bin", NULL};

    (void)state;
    for (int json = 0; json < 2; json++) {
        char **env = childenv_build_node(given, "http://127.0.0.1:8545", json == 1);
        const char *format;

        assert_non_null(env);
        format = childenv_get(env, "OP_NODE_LOG_FORMAT");
        if (json)
            assert_string_equal(format, "json");
        else
            assert_null(format);
        childenv_free(env);
    }
}

static void what_is_set_stays(void **state)
{
    char *const given[] = {"OP_NODE_CONDUCTOR_RPC=http://other:1", "OP_NODE_CONDUCTOR_ENABLED=true",
                           "OP_NODE_LOG_FORMAT=logfmt", NULL};
    char **env = childenv_build_node(given, "http://127.0.0.1:8545", true);
    size_t n = 0;

    (void)state;
    assert_non_null(env);
    assert_string_equal(childenv_get(env, "OP_NODE_CONDUCTOR_RPC"), "http://other:1");
    while (env[n])
        n++;
    assert_string_equal(childenv_get(env, "OP_NODE_LOG_FORMAT"), "logfmt");
    assert_int_equal(n, 4);
    childenv_free(env);
}

static void workers_get_no_proxies_and_no_secrets(void **state)
{
    char *const given[] = {"PATH=/bin",
                           "http_proxy=http://p",
                           "AWS_SECRET_ACCESS_KEY=s",
                           "LC_ALL=C",
                           "LD_PRELOAD=x",
                           "LCX=not listed",
                           "TZ=UTC",
                           NULL};
    char **env = childenv_build_worker(given);

    (void)state;
    assert_non_null(env);
    assert_string_equal(env[0], "PATH=/bin");
    assert_string_equal(env[1], "LC_ALL=C");
    assert_string_equal(env[2], "TZ=UTC");
    assert_null(env[3]);
    childenv_free(env);
}

static void a_saved_state_is_refused(void **state)
{
    char *const saved[] = {"OP_NODE_RPC_ADMIN_STATE=/x", NULL};
    char *const unset[] = {"OP_NODE_RPC_ADMIN_STATE=", "OP_NODE_RPC_ADMIN_STATES=/x", NULL};
    char error[512];

    (void)state;
    assert_int_equal(childenv_check_node(saved, error, sizeof error), OC_ESYNTAX);
    assert_non_null(strstr(error, "OP_NODE_RPC_ADMIN_STATE"));
    assert_int_equal(childenv_check_node(unset, error, sizeof error), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(op_node_comes_up_stopped), cmocka_unit_test(op_node_logs_json_when_we_do),
        cmocka_unit_test(what_is_set_stays),        cmocka_unit_test(workers_get_no_proxies_and_no_secrets),
        cmocka_unit_test(a_saved_state_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
