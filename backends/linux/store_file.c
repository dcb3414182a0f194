/* The store of local files: names are paths. */
#include "linux/store_file.h"

#include "list.h"

static const char *const schemes[] = {"file", NULL};

static const struct lsi_backend_ops *const backends[] = {
    &lsi_backend_uring,
    &lsi_backend_pread,
    &lsi_backend_mapped,
    NULL,
};

const struct lsi_store lsi_store_file = {
    .version = LSI_STORE_VERSION,
    .name = "file",
    .schemes = schemes,
    .backends = backends,
    .stat_many = lsi_file_stat_many,
    .model = lsi_file_model,
    .changed = lsi_object_changed,
    .list = lsi_file_list,
    .read_all = lsi_file_read_all,
    .read_part = lsi_file_read_part,
};
