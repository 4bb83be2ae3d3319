# SPDX-License-Identifier: Apache-2.0
"""The system calls that a program in the sandbox has left, as a filter for Linux's seccomp.

All others fail with EPERM. So there is one process with one thread, which opens files, uses memory
and the clock: nothing starts another, signals one, opens a socket, mounts or traces, and no memory
is had that the limit on address space does not count (shared memory, memfd).
"""

import platform
import struct

# name:number on x86-64:number on AArch64
EVERYWHERE = """
    read:0:63 write:1:64 readv:19:65 writev:20:66 pread64:17:67 pwrite64:18:68 preadv:295:69
    pwritev:296:70 close:3:57 close_range:436:436 lseek:8:62 openat:257:56 fstat:5:80
    newfstatat:262:79 statx:332:291 statfs:137:43 fstatfs:138:44 faccessat:269:48
    faccessat2:439:439 getdents64:217:61 readlinkat:267:78 mkdirat:258:34 unlinkat:263:35
    renameat:264:38 renameat2:316:276 linkat:265:37 symlinkat:266:36 fchmod:91:52 fchmodat:268:53
    umask:95:166 utimensat:280:88 ftruncate:77:46 truncate:76:45 fallocate:285:47 fsync:74:82
    fdatasync:75:83 flock:73:32 fadvise64:221:223 getcwd:79:17 chdir:80:49 fchdir:81:50 dup:32:23
    dup3:292:24 fcntl:72:25 pipe2:293:59 sendfile:40:71 copy_file_range:326:285 ppoll:271:73
    pselect6:270:72 epoll_create1:291:20 epoll_ctl:233:21 epoll_pwait:281:22 eventfd2:290:19
    mmap:9:222 mprotect:10:226 munmap:11:215 mremap:25:216 madvise:28:233 brk:12:214
    mincore:27:232 msync:26:227 membarrier:324:283 rt_sigaction:13:134 rt_sigprocmask:14:135
    rt_sigreturn:15:139 rt_sigpending:127:136 rt_sigsuspend:130:133 rt_sigtimedwait:128:137
    sigaltstack:131:132 tgkill:234:131 restart_syscall:219:128 futex:202:98 set_robust_list:273:99
    get_robust_list:274:100 set_tid_address:218:96 rseq:334:293 sched_yield:24:124
    sched_getaffinity:204:123 clock_gettime:228:113 clock_getres:229:114 clock_nanosleep:230:115
    nanosleep:35:101 gettimeofday:96:169 times:100:153 getitimer:36:102 setitimer:38:103
    getpid:39:172 getppid:110:173 gettid:186:178 getuid:102:174 geteuid:107:175 getgid:104:176
    getegid:108:177 getresuid:118:148 getresgid:120:150 getgroups:115:158 getpgid:121:155
    getsid:124:156 getrandom:318:278 getrusage:98:165 getrlimit:97:163 uname:63:160 sysinfo:99:179
    getpriority:140:141 wait4:61:260 waitid:247:95 exit:60:93 exit_group:231:94
"""
ONLY_X86 = """
    open:2 creat:85 stat:4 lstat:6 access:21 readlink:89 mkdir:83 rmdir:84 unlink:87 rename:82
    link:86 symlink:88 chmod:90 dup2:33 pipe:22 poll:7 select:23 epoll_wait:232 pause:34
    arch_prctl:158 time:201 alarm:37 getpgrp:111
"""
MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel calls them (AUDIT_ARCH)
KILL, REFUSE, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000  # the low bits of REFUSE: EPERM
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
NUMBER_AT, MACHINE_AT = 0, 4  # in struct seccomp_data


def numbers(machine: str) -> list[int]:
    """Of the calls that are left; none where the machine is not known."""
    if machine not in MACHINES:
        return []
    column = 1 + list(MACHINES).index(machine)
    found = [int(one.split(":")[column]) for one in EVERYWHERE.split()]
    if machine == "x86_64":
        found += [int(one.split(":")[1]) for one in ONLY_X86.split()]
    return sorted(found)


def seccomp_filter(machine: str = platform.machine()) -> bytes:
    """Instructions of BPF; empty where the machine is not known."""
    left = numbers(machine)
    if not left:
        return b""
    steps = [
        (LOAD, 0, 0, MACHINE_AT),
        (JUMP_IF_EQUAL, 1, 0, MACHINES[machine]),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER_AT),
    ]
    steps += [(JUMP_IF_EQUAL, len(left) - at, 0, number) for at, number in enumerate(left)]
    steps += [(RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
