/* Error codes of the whole project: 0, a negated errno, or one of the codes below. */
#ifndef OC_BASE_ERR_H
#define OC_BASE_ERR_H

/* name, text that an operator reads */
#define OC_ERR_LIST(X)                                                                                                 \
    X(OC_EPROTO, "the other side broke the protocol")                                                                  \
    X(OC_ECLOSED, "the channel is closed")                                                                             \
    X(OC_EFULL, "the queue is full")                                                                                   \
    X(OC_ECORRUPT, "the data is corrupt")                                                                              \
    X(OC_ESTALE, "the information is stale")                                                                           \
    X(OC_EVERSION, "the format version is not supported")                                                              \
    X(OC_ESYNTAX, "the input is malformed")                                                                            \
    X(OC_ERANGE, "a value is out of range")                                                                            \
    X(OC_EDEADLINE, "the deadline has passed")                                                                         \
    X(OC_ENOTLEADER, "node is not the leader")                                                                         \
    X(OC_ELOST, "leadership lost while committing log")                                                                \
    X(OC_ETRANSFER, "leadership transfer in progress")                                                                 \
    X(OC_ESHUTDOWN, "raft is already shutdown")                                                                        \
    X(OC_ECHANGING, "a configuration change is already in progress")                                                   \
    X(OC_ECONFVERSION, "configuration changed since the given version")                                                \
    X(OC_EUNKNOWN, "no such server")                                                                                   \
    X(OC_ECONFLICT, "the payload conflicts with the unsafe head")                                                      \
    X(OC_EGAP, "the payload's parent is not the unsafe head")                                                          \
    X(OC_EDISK, "the disk failed")                                                                                     \
    X(OC_ENOTYET, "not possible yet, but perhaps soon")

enum oc_err {
    OC_ERR_BASE = -1000,
#define OC_ERR_ENUM(name, text) name,
    OC_ERR_LIST(OC_ERR_ENUM)
#undef OC_ERR_ENUM
        OC_ERR_LAST
};

/* The text for a code of either kind, never NULL. For errno values it is strerror's. */
const char *err_text(int code);

#endif
