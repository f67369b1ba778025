/* The simulator's hash, JSON scanner, blocks and chain. */
#include "shared/base/err.h"
#include "shared/payload/json.h"
#include "tests/sim/blake2b.h"
#include "tests/sim/chain.h"
#include "tests/sim/jsonscan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

static void test_blake2b_vectors(void **state)
{
    (void)state;
    /* Byte i of an input of n bytes is (7i + n) mod 256; computed with Python's hashlib. */
    static const struct {
        size_t n;
        const char *hash;
    } VECTORS[] = {
        {0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
        {3, "9facd640130c81e7f318a8d5c660bc1b0f5d03861ffbd4cc1358e0e904593c28"},
        {127, "f609ab2904b340cd075920018e0e3c6f6a90a3dae3edf03d3cccc0634a81ffe3"},
        {128, "0702c64922fb7635a1b799668a7e89ba9c5fe55ed7bd2fdecb001544073afad9"},
        {129, "490091b32bad7b3380c9e593d341bce9b73ff9d4ebcf0091ff932bdff7279897"},
        {256, "3d0cb2693dfbac42af5a6cc960953fea8714aa39c4bcd054ef61d6b5e98ade4a"},
        {1000, "a2ae1ecc90361e0bb07dab9789a4b0a724ee3cf05623ac6cefa1e6af3da4aae8"},
    };
    uint8_t data[1000], hash[32];
    char hex[65] = {0};
    for (size_t k = 0; k < sizeof VECTORS / sizeof VECTORS[0]; k++) {
        for (size_t i = 0; i < VECTORS[k].n; i++)
            data[i] = (uint8_t)(7 * i + VECTORS[k].n);
        for (size_t piece = 1; piece <= 1000; piece += 111) {
            struct blake2b b;
            blake2b_begin(&b);
            for (size_t at = 0; at < VECTORS[k].n; at += piece)
                blake2b_add(&b, data + at, VECTORS[k].n - at < piece ? VECTORS[k].n - at : piece);
            blake2b_end(&b, hash);
            hex_encode(hash, 32, hex);
            assert_string_equal(hex, VECTORS[k].hash);
        }
    }
}

static struct json_span span(const char *text)
{
    return (struct json_span){text, strlen(text)};
}

static void test_json_members(void **state)
{
    (void)state;
    struct json_span text = span(" {\"a\" : [1,{\"b\":\"]}\\\"\"}] , \"id\":null,\"s\":\"x\\\\\",\"n\":-1.5e3 }"), v;
    assert_int_equal(json_member(text, "a", &v), 0);
    assert_true(json_span_is(v, "[1,{\"b\":\"]}\\\"\"}]"));
    struct json_span array = v;
    assert_int_equal(json_item(array, 0, &v), 0);
    assert_true(json_span_is(v, "1"));
    assert_int_equal(json_item(array, 1, &v), 0);
    assert_true(json_span_is(v, "{\"b\":\"]}\\\"\"}"));
    assert_int_equal(json_item(array, 2, &v), 0);
    assert_null(v.at);
    assert_int_equal(json_member(text, "s", &v), 0);
    assert_true(json_span_is_string(v, "x\\\\"));
    assert_int_equal(json_member(text, "n", &v), 0);
    assert_true(json_span_is(v, "-1.5e3"));
    assert_int_equal(json_member(text, "b", &v), 0);
    assert_null(v.at);
    assert_int_equal(json_member(span("{}"), "b", &v), 0);
    assert_null(v.at);
    assert_int_equal(json_item(span("[ ]"), 0, &v), 0);
    assert_null(v.at);
    static const char *const BROKEN[] = {"",         "[",        "{\"a\"", "{\"a\":",          "{\"a\":\"",
                                         "{\"a\":[", "{\"a\":1", "{a:1}",  "{\"a\":1 \"b\":2}"};
    for (size_t i = 0; i < sizeof BROKEN / sizeof BROKEN[0]; i++) {
        /* From the heap without a NUL, so that reading beyond the end is noticed. */
        size_t len = strlen(BROKEN[i]);
        char *copy = malloc(len + (len == 0));
        assert_non_null(copy);
        memcpy(copy, BROKEN[i], len);
        assert_int_equal(json_member((struct json_span){copy, len}, "x", &v), OC_ESYNTAX);
        free(copy);
    }
}

static void test_built_blocks_check(void **state)
{
    (void)state;
    uint64_t seed = 42;
    struct block genesis, same, b;
    struct block_ref ref;
    uint8_t actual[32];
    assert_int_equal(block_build(NULL, 5000, 0, FORK_ISTHMUS, &seed, &genesis), 0);
    seed = 43;
    assert_int_equal(block_build(NULL, 5000, 0, FORK_ISTHMUS, &seed, &same), 0);
    assert_memory_equal(genesis.ref.hash, same.ref.hash, 32);
    static const uint32_t SIZES[] = {0, 1, 127, 128, 10000, 3000000};
    for (size_t i = 0; i < sizeof SIZES / sizeof SIZES[0]; i++) {
        enum sim_fork fork = i % 2 ? FORK_ECOTONE : FORK_ISTHMUS;
        assert_int_equal(block_build(&genesis.ref, 5200 + i, SIZES[i], fork, &seed, &b), 0);
        assert_int_equal(block_check(b.record, b.len, &ref, actual), 0);
        assert_int_equal(ref.number, 1);
        assert_int_equal(ref.slot_ms, 5200 + i);
        assert_int_equal(ref.timestamp, 5);
        assert_memory_equal(ref.parent, genesis.ref.hash, 32);
        b.record[b.len - 1] ^= 1;
        assert_int_equal(block_check(b.record, b.len, &ref, actual), OC_ECONFLICT);
        free(b.record);
    }
    free(genesis.record);
    free(same.record);
}

/* ---- the chain ---- */

#define FIXTURE_BLOCKS 100

struct fixture {
    char dir[64];
    struct block blocks[FIXTURE_BLOCKS]; /* one chain, from block 0 */
    struct block other;                  /* another block 3 */
    unsigned adopted;
};

static void count_adopted(void *ctx, const struct block_ref *block, const char *via)
{
    (void)block;
    (void)via;
    ((struct fixture *)ctx)->adopted++;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    uint64_t seed = 1;
    strcpy(f->dir, "/tmp/oc-sim-chain-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    for (size_t i = 0; i < FIXTURE_BLOCKS; i++)
        assert_int_equal(
            block_build(i ? &f->blocks[i - 1].ref : NULL, 1000 * i, 300, FORK_ISTHMUS, &seed, &f->blocks[i]), 0);
    assert_int_equal(block_build(&f->blocks[2].ref, 3000, 300, FORK_ISTHMUS, &seed, &f->other), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];
    for (size_t i = 0; i < FIXTURE_BLOCKS; i++)
        free(f->blocks[i].record);
    free(f->other.record);
    for (unsigned i = 1; i < 40; i++) {
        snprintf(path, sizeof path, "%s/blocks-%010u.dat", f->dir, i);
        unlink(path);
    }
    int rc = rmdir(f->dir);
    free(f);
    return rc;
}

static struct chain *open_chain(struct fixture *f)
{
    struct chain *c = NULL;
    assert_int_equal(chain_open(f->dir, &f->blocks[0], count_adopted, f, &c), 0);
    return c;
}

static int add(struct chain *c, const struct block *b)
{
    return chain_add(c, &b->ref, b->record, b->len, "test");
}

static void test_chain_rules(void **state)
{
    struct fixture *f = *state;
    struct chain *c = open_chain(f);
    assert_int_equal(chain_head(c)->number, 0);
    assert_int_equal(add(c, &f->blocks[1]), CHAIN_ADOPTED);
    assert_int_equal(add(c, &f->blocks[1]), CHAIN_KNOWN);
    assert_int_equal(add(c, &f->blocks[4]), CHAIN_QUEUED);
    assert_int_equal(add(c, &f->blocks[4]), CHAIN_QUEUED);
    assert_int_equal(add(c, &f->blocks[3]), CHAIN_QUEUED);
    assert_int_equal(add(c, &f->other), CHAIN_QUEUED);
    assert_int_equal(chain_queue_lowest(c), 3);
    assert_int_equal(f->adopted, 1);
    assert_int_equal(add(c, &f->blocks[2]), CHAIN_ADOPTED);
    /* Of two queued blocks at one height only one can be adopted; block 4 follows if it was its parent. */
    assert_true(chain_head(c)->number >= 3);
    assert_int_equal(chain_queue_lowest(c), 0);
    assert_int_equal(chain_rewind(c, 2), 0);
    assert_int_equal(add(c, &f->blocks[3]), CHAIN_ADOPTED);
    assert_int_equal(add(c, &f->other), CHAIN_CONFLICT);
    assert_memory_equal(chain_head(c)->hash, f->blocks[3].ref.hash, 32);
    assert_ptr_equal(chain_by_hash(c, f->blocks[2].ref.hash), chain_by_number(c, 2));
    assert_null(chain_by_number(c, 4));
    assert_int_equal(chain_rewind(c, 4), OC_ERANGE);
    chain_close(c);
}

static void test_chain_is_kept(void **state)
{
    struct fixture *f = *state;
    struct chain *c = open_chain(f);
    for (size_t i = 1; i < 10; i++)
        assert_int_equal(add(c, &f->blocks[i]), CHAIN_ADOPTED);
    assert_int_equal(chain_rewind(c, 6), 0);
    chain_close(c);
    c = open_chain(f);
    assert_int_equal(chain_head(c)->number, 6);
    assert_int_equal(add(c, &f->blocks[7]), CHAIN_ADOPTED);
    size_t len;
    uint8_t *record = chain_read_record(c, 5, &len);
    assert_int_equal(len, f->blocks[5].len);
    assert_memory_equal(record, f->blocks[5].record, len);
    free(record);
    assert_null(chain_read_record(c, 8, &len));
    chain_close(c);

    /* A torn write at the end costs the last block only. */
    char path[128];
    snprintf(path, sizeof path, "%s/blocks-%010u.dat", f->dir, 1u);
    assert_int_equal(truncate(path, 0), 0);
    c = open_chain(f);
    for (size_t i = 1; i < 5; i++)
        assert_int_equal(add(c, &f->blocks[i]), CHAIN_ADOPTED);
    chain_close(c);
    off_t size = (off_t)((f->blocks[1].len + 16) * 4 + f->blocks[0].len + 16);
    assert_int_equal(truncate(path, size - 5), 0);
    c = open_chain(f);
    assert_int_equal(chain_head(c)->number, 3);
    assert_int_equal(add(c, &f->blocks[4]), CHAIN_ADOPTED);
    chain_close(c);
    c = open_chain(f);
    assert_int_equal(chain_head(c)->number, 4);
    chain_close(c);
}

static void test_chain_starts_over(void **state)
{
    struct fixture *f = *state;
    struct chain *c = open_chain(f);
    assert_int_equal(add(c, &f->blocks[51]), CHAIN_QUEUED);
    assert_int_equal(chain_restart_from(c, &f->blocks[50].ref, f->blocks[50].record, f->blocks[50].len), CHAIN_ADOPTED);
    assert_int_equal(chain_head(c)->number, 51);
    chain_close(c);
    c = open_chain(f);
    assert_int_equal(chain_oldest(c)->number, 50);
    assert_int_equal(chain_head(c)->number, 51);
    chain_close(c);
}

static void test_chain_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct chain *c = open_chain(f);
    uint64_t seed = 9;
    /* The queue: the lowest are kept. */
    for (size_t i = FIXTURE_BLOCKS - 1; i >= 2; i--)
        assert_int_equal(add(c, &f->blocks[i]), CHAIN_QUEUED);
    assert_int_equal(add(c, &f->blocks[1]), CHAIN_ADOPTED);
    assert_int_equal(chain_head(c)->number, 1 + CHAIN_QUEUE_MAX);
    /* Bodies: 30 blocks of 12 MB are more than is kept. */
    for (int i = 0; i < 30; i++) {
        struct block b;
        struct block_ref parent = *chain_head(c);
        assert_int_equal(block_build(&parent, 1, 12000000, FORK_ISTHMUS, &seed, &b), 0);
        assert_int_equal(add(c, &b), CHAIN_ADOPTED);
        free(b.record);
    }
    uint64_t kept = chain_head(c)->number - chain_oldest(c)->number + 1;
    assert_in_range(kept, 20, 22);
    chain_close(c);
    c = open_chain(f);
    assert_int_equal(chain_head(c)->number - chain_oldest(c)->number + 1, kept);
    chain_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blake2b_vectors),
        cmocka_unit_test(test_json_members),
        cmocka_unit_test(test_built_blocks_check),
        cmocka_unit_test_setup_teardown(test_chain_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_starts_over, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chain_is_bounded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
