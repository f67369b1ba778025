/* cmocka and what it wants included before. */
#ifndef OC_TESTS_FLIGHT_TESTING_H
#define OC_TESTS_FLIGHT_TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
