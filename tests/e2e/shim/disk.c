/* A disk that fails and that loses power, for `LD_PRELOAD`; `harness/disk.py` builds and leads it.
 *
 * What a program writes into DISK_FOLDER goes into the files at once, as into the page cache. What a power cut would
 * leave is kept apart, in DISK_SHADOW: `ino-N` has the content of inode N that is on the disk, `names/NAME` is a hard
 * link to it. Content gets there by fsync of the file, a name by fsync of the folder, or of the file that was made
 * under it. As on Linux, a sync that fails leaves the pages clean: no later sync writes them unless they are written
 * again, and each descriptor that was open hears of the failure once (errseq). */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PAGE = 4096, PAGES = 32768, FILES = 16, DESCRIPTORS = 4096 };
enum { LOG = 1, DATABASE = 2, OTHER = 4 };

struct file {
    char name[64];
    int64_t inode;
    int64_t errors;
    unsigned char dirty[PAGES];
};

/* The first fields are known to harness/disk.py. */
struct control {
    int64_t lock;
    int64_t calls;      /* writes, syncs, truncations, removals so far */
    int64_t kill_at;    /* the process that makes this call is killed before it */
    int64_t syncs;      /* syncs so far of files of the kinds in fail_kinds */
    int64_t fail_from;  /* the first of these that fails; 0: none */
    int64_t fail_count; /* how many fail */
    int64_t fail_kinds;
    int64_t failed;     /* how many have failed */
    int64_t delay;      /* microseconds that each sync takes */
    struct file files[FILES];
};

static struct control *control;
static char folder[PATH_MAX];
static const char *shadow;
static int64_t seen[DESCRIPTORS];

static int (*real_open)(const char *, int, ...);
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_ftruncate)(int, off_t);
static int (*real_fsync)(int);
static int (*real_unlink)(const char *);

static void find_next(void) {
    real_open = dlsym(RTLD_NEXT, "open64");
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_unlink = dlsym(RTLD_NEXT, "unlink");
}

__attribute__((constructor)) static void begin(void) {
    find_next();
    const char *path = getenv("DISK_CONTROL");
    shadow = getenv("DISK_SHADOW");
    if (!path || !shadow || !getenv("DISK_FOLDER") || !realpath(getenv("DISK_FOLDER"), folder)) {
        return;
    }
    int fd = real_open(path, O_RDWR | O_CLOEXEC);
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || mapped == MAP_FAILED) {
        abort();
    }
    close(fd);
    control = mapped;
}

static void lock(void) {
    int64_t me = syscall(SYS_gettid), owner = 0;
    while (!__atomic_compare_exchange_n(&control->lock, &owner, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        /* Whoever was killed with it does not come back. */
        if (owner && kill(owner, 0) && errno == ESRCH
            && __atomic_compare_exchange_n(&control->lock, &owner, me, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            return;
        }
        owner = 0;
        usleep(20);
    }
}

static void unlock(void) { __atomic_store_n(&control->lock, 0, __ATOMIC_RELEASE); }

static void count(void) {
    if (++control->calls == control->kill_at) {
        unlock();
        kill(getpid(), SIGKILL);
        pause();
    }
}

static void content(char path[PATH_MAX], int64_t inode) {
    snprintf(path, PATH_MAX, "%s/ino-%lld", shadow, (long long)inode);
}

static void named(char path[PATH_MAX], const char *name) { snprintf(path, PATH_MAX, "%s/names/%s", shadow, name); }

/* The name within the folder, if the path leads there and is one that a power cut concerns. */
static const char *name_in_folder(const char *path) {
    char whole[PATH_MAX];
    const char *slash = strrchr(path, '/');
    if (!control || !slash || slash == path || slash - path >= PATH_MAX) {
        return NULL;
    }
    char parent[PATH_MAX];
    memcpy(parent, path, slash - path);
    parent[slash - path] = 0;
    const char *name = slash + 1;
    size_t length = strlen(name);
    if (!*name || length >= 64 || (length > 4 && !strcmp(name + length - 4, "-shm"))) {
        return NULL;
    }
    return realpath(parent, whole) && !strcmp(whole, folder) ? name : NULL;
}

static struct file *by_inode(int64_t inode) {
    for (int at = 0; at < FILES; at++) {
        if (control->files[at].inode == inode) {
            return &control->files[at];
        }
    }
    return NULL;
}

static struct file *of(int fd) {
    struct stat meta;
    if (!control || fd < 0 || fd >= DESCRIPTORS || fstat(fd, &meta) || !S_ISREG(meta.st_mode)) {
        return NULL;
    }
    return by_inode(meta.st_ino);
}

static void copy_page(int from, int to, int64_t page) {
    char bytes[PAGE];
    ssize_t length = pread(from, bytes, PAGE, page * PAGE);
    if (length > 0 && real_pwrite(to, bytes, length, page * PAGE) != length) {
        abort();
    }
}

/* A descriptor for reading. It is never closed: that would drop the locks that SQLite holds on the file. */
static int reader(const struct file *file, int fd) {
    static struct { int64_t inode; int fd; } readers[FILES];
    char path[64];
    int at = file - control->files;
    if (readers[at].inode != file->inode) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        readers[at].inode = file->inode;
        readers[at].fd = real_open(path, O_RDONLY | O_CLOEXEC);
    }
    return readers[at].fd;
}

/* What is dirty is on the disk now. */
static void keep(struct file *file, int fd, int everything) {
    char path[PATH_MAX];
    struct stat meta;
    content(path, file->inode);
    int to = real_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int from = reader(file, fd);
    if (to < 0 || from < 0 || fstat(from, &meta) || real_ftruncate(to, meta.st_size)) {
        abort();
    }
    int64_t pages = (meta.st_size + PAGE - 1) / PAGE;
    for (int64_t page = 0; page < pages && page < PAGES; page++) {
        if (everything || file->dirty[page]) {
            copy_page(from, to, page);
        }
    }
    memset(file->dirty, 0, PAGES);
    close(to);
}

static void keep_name(int64_t inode, const char *name) {
    char from[PATH_MAX], to[PATH_MAX];
    content(from, inode);
    named(to, name);
    struct stat meta;
    if (stat(from, &meta)) {
        close(real_open(from, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    }
    real_unlink(to);
    if (link(from, to)) {
        abort();
    }
}

/* Names that are there are on the disk, others are not. */
static void keep_names(void) {
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/names", shadow);
    DIR *names = opendir(path);
    for (struct dirent *entry; (entry = readdir(names));) {
        struct stat meta;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (*entry->d_name != '.' && stat(path, &meta)) {
            named(path, entry->d_name);
            real_unlink(path);
        }
    }
    closedir(names);
    DIR *files = opendir(folder);
    for (struct dirent *entry; (entry = readdir(files));) {
        struct stat meta;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (*entry->d_name != '.' && !stat(path, &meta) && by_inode(meta.st_ino)) {
            keep_name(meta.st_ino, entry->d_name);
        }
    }
    closedir(files);
}

static int opened(const char *path, int flags, mode_t mode) {
    const char *name = name_in_folder(path);
    if (!name) {
        return real_open(path, flags, mode);
    }
    lock();
    struct stat meta;
    int was_there = !stat(path, &meta);
    int fd = real_open(path, flags, mode);
    if (fd >= 0 && fd < DESCRIPTORS && !fstat(fd, &meta) && S_ISREG(meta.st_mode)) {
        struct file *file = by_inode(meta.st_ino);
        if (!file && (file = by_inode(0))) {
            memset(file, 0, sizeof *file);
            strcpy(file->name, name);
            file->inode = meta.st_ino;
            if (was_there) {
                keep(file, fd, 1);
                keep_name(file->inode, name);
            }
        }
        if (!file) {
            abort();
        }
        if (was_there && flags & O_TRUNC) {
            memset(file->dirty, 1, PAGES);
        }
        seen[fd] = file->errors;
    }
    unlock();
    return fd;
}

#define OPEN(name)                                                                                                   \
    int name(const char *path, int flags, ...) {                                                                     \
        va_list list;                                                                                                \
        va_start(list, flags);                                                                                       \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;                                      \
        va_end(list);                                                                                                \
        if (!real_open) {                                                                                            \
            find_next();                                                                                             \
        }                                                                                                            \
        return opened(path, flags, mode);                                                                            \
    }
OPEN(open)
OPEN(open64)

static void mark(struct file *file, off_t from, ssize_t length) {
    for (off_t page = from / PAGE; length > 0 && page * PAGE < from + length; page++) {
        if (page >= PAGES) {
            abort();
        }
        file->dirty[page] = 1;
    }
}

ssize_t write(int fd, const void *bytes, size_t length) {
    if (!real_write) {
        find_next();
    }
    struct file *file = of(fd);
    if (!file) {
        return real_write(fd, bytes, length);
    }
    lock();
    count();
    ssize_t done = real_write(fd, bytes, length);
    int reason = errno;
    if (done > 0) {
        mark(file, lseek(fd, 0, SEEK_CUR) - done, done);
    }
    unlock();
    errno = reason;
    return done;
}

static ssize_t written(int fd, const void *bytes, size_t length, off_t at) {
    struct file *file = of(fd);
    if (!file) {
        return real_pwrite(fd, bytes, length, at);
    }
    lock();
    count();
    ssize_t done = real_pwrite(fd, bytes, length, at);
    int reason = errno;
    mark(file, at, done);
    unlock();
    errno = reason;
    return done;
}

ssize_t pwrite(int fd, const void *bytes, size_t length, off_t at) { return written(fd, bytes, length, at); }
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) { return written(fd, bytes, length, at); }

static int truncated(int fd, off_t length) {
    struct file *file = of(fd);
    if (!file) {
        return real_ftruncate(fd, length);
    }
    lock();
    count();
    int done = real_ftruncate(fd, length);
    int reason = errno;
    if (!done && length / PAGE < PAGES) {
        memset(file->dirty + length / PAGE, 1, PAGES - length / PAGE);
    }
    unlock();
    errno = reason;
    return done;
}

int ftruncate(int fd, off_t length) { return truncated(fd, length); }
int ftruncate64(int fd, off64_t length) { return truncated(fd, length); }

static int kind(const struct file *file) {
    size_t length = strlen(file->name);
    if (length > 4 && !strcmp(file->name + length - 4, "-wal")) {
        return LOG;
    }
    return length > 7 && !strcmp(file->name + length - 7, ".sqlite") ? DATABASE : OTHER;
}

static int synced(int fd) {
    struct stat meta, here;
    struct file *file = of(fd);
    if (!file) {
        if (control && !fstat(fd, &meta) && S_ISDIR(meta.st_mode) && !stat(folder, &here) && meta.st_ino == here.st_ino) {
            lock();
            count();
            keep_names();
            unlock();
        }
        return 0;
    }
    if (control->delay) {
        usleep(control->delay);
    }
    lock();
    count();
    int fails = 0;
    if (kind(file) & control->fail_kinds) {
        int64_t number = ++control->syncs;
        fails = control->fail_from && number >= control->fail_from
             && number < control->fail_from + control->fail_count;
    }
    if (fails) {
        control->failed++;
        file->errors++;
        memset(file->dirty, 0, PAGES);
    } else {
        keep(file, fd, 0);
        char path[PATH_MAX];
        snprintf(path, sizeof path, "%s/%s", folder, file->name);
        if (!stat(path, &here) && (int64_t)here.st_ino == file->inode) {
            keep_name(file->inode, file->name);
        }
    }
    fails = file->errors != seen[fd];
    seen[fd] = file->errors;
    unlock();
    if (fails) {
        errno = EIO;
        return -1;
    }
    return 0;
}

int fsync(int fd) { return synced(fd); }
int fdatasync(int fd) { return synced(fd); }

int unlink(const char *path) {
    if (!real_unlink) {
        find_next();
    }
    if (!name_in_folder(path)) {
        return real_unlink(path);
    }
    lock();
    count();
    struct stat meta;
    int was_last = !stat(path, &meta) && meta.st_nlink == 1;
    int done = real_unlink(path);
    int reason = errno;
    struct file *file = was_last && !done ? by_inode(meta.st_ino) : NULL;
    if (file) {
        /* The inode's number may come again. What a power cut would bring back is known by its name. */
        char old[PATH_MAX];
        content(old, file->inode);
        real_unlink(old);
        memset(file, 0, sizeof *file);
    }
    unlock();
    errno = reason;
    return done;
}
