/* The HTTP client against our own server. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "http_fixture.h"
#include "http_helper.h"
#include "shared/base/err.h"

#include <stdio.h>
#include <unistd.h>

#define NOT_YET 12345

static void ask(const char *path, uint16_t port, uint32_t timeout_ms)
{
    snprintf(http_fixture.url, sizeof http_fixture.url, "http://127.0.0.1:%u%s", port, path);
    http_fixture.client_timeout_ms = timeout_ms;
    atomic_store(&http_fixture.client_rc, NOT_YET);
    uv_async_send(&http_fixture.ask);
    for (int i = 0; i < 1500 && atomic_load(&http_fixture.client_rc) == NOT_YET; i++)
        usleep(10000);
}

static void test_client(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        ask("/echo", http_fixture.port, 10000);
        assert_int_equal(atomic_load(&http_fixture.client_rc), 0);
        assert_int_equal(atomic_load(&http_fixture.client_status), 200);
        assert_string_equal(http_fixture.client_body, "hello");
    }
    assert_int_equal(http_server_connection_count(http_fixture.server), 1); /* kept alive */
    ask("/none", http_fixture.port, 10000);
    assert_int_equal(atomic_load(&http_fixture.client_status), 404);
    ask("/big?1001", http_fixture.port, 10000);
    assert_int_equal(atomic_load(&http_fixture.client_rc), OC_ERANGE);
    ask("/later", http_fixture.port, 10);
    assert_int_equal(atomic_load(&http_fixture.client_rc), OC_EDEADLINE);
    ask("/never", http_fixture.port, 10000);
    assert_int_equal(atomic_load(&http_fixture.client_rc), OC_ECLOSED);
    uint16_t free_port;
    const int fd = http_listen_loopback(0, &free_port);
    close(fd);
    ask("/", free_port, 10000);
    assert_int_equal(atomic_load(&http_fixture.client_rc), OC_ECLOSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_client, http_fixture_setup, http_fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
