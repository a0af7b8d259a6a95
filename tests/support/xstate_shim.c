/* Lets user-mode-linux 6.1 run on hosts with AMX.
 *
 * Its buffer for a process's extended FPU state is smaller than such a host's,
 * and the host's kernel refuses to set a state from a short buffer (EFAULT).
 * Preloaded, this widens the buffer: what user-mode-linux doesn't know keeps
 * the value that the process has.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#define STATE_OCTETS 16384

typedef long (*ptrace_function)(int, int, void *, void *);

/* Not on the stack: the callers are kernel threads with two pages of it. */
static unsigned char whole[STATE_OCTETS];
static ptrace_function real;

__attribute__((constructor)) static void find_real(void)
{
    real = (ptrace_function)dlsym(RTLD_NEXT, "ptrace");
}

long ptrace(enum __ptrace_request request, ...)
{
    va_list arguments;
    va_start(arguments, request);
    int pid = va_arg(arguments, int);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE)
        return real(request, pid, address, data);

    struct iovec *given = data;
    struct iovec full = {whole, sizeof whole};
    if (real(PTRACE_GETREGSET, pid, address, &full) < 0)
        return real(request, pid, address, data);
    size_t known = given->iov_len < full.iov_len ? given->iov_len : full.iov_len;
    memcpy(whole, given->iov_base, known);
    return real(request, pid, address, &full);
}
