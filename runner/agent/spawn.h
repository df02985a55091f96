/*
 * Starting a task's process without forking the agent: clone(CLONE_VM | CLONE_VFORK) on a stack of
 * its own, so neither page tables nor memory are copied however fat the agent is.
 *
 * The child leads a process group of its own, has a clean signal state, only descriptors 0, 1, 2,
 * the user's identity, no way to new privileges, and dies when the thread that started it dies:
 * that thread must live until it has reaped the child.
 */
#ifndef HD_RUNNER_AGENT_SPAWN_H
#define HD_RUNNER_AGENT_SPAWN_H

#include <sys/types.h>

/* Whom tasks run as. */
struct hd_identity {
    bool switch_user; /* the agent is root and the user is another */
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* heap, owned */
    int group_count;
    char *home; /* heap, owned */
};

/* -ENOENT with a sentence for a user this machine does not know; -EPERM when the agent is not root.
 */
int hd_identity_look_up(const char *user, struct hd_identity *ret);
void hd_identity_done(struct hd_identity *i);

struct hd_spawn {
    const char *path; /* of the program, from hd_spawn_find */
    char *const *argv;
    char *const *envp;
    int cwd_fd;
    int stdio[3]; /* become 0, 1, 2; borrowed */
    const struct hd_identity *identity;
};

/* 0 and the child's pid (= its process group), or the error of the step that failed. */
int hd_spawn(const struct hd_spawn *s, pid_t *ret_pid);

/*
 * Where a program is: a name with a slash as it is, else in the working directory, else along PATH.
 * -ENOENT with a sentence.
 */
int hd_spawn_find(const char *name, int cwd_fd, const char *search_path, char *out, size_t size);

#endif
