//! Runs a program under ptrace and meddles with one of its system calls, or with all from one on.
//!
//! The program stops itself by SIGSTOP where the part that counts begins and where it ends; both
//! stops are a `tgkill` of its own.

use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use fs_err as fs;
use nix::errno::Errno;
use nix::libc;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill, raise};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::calls::{Call, is_ignored, path_arguments};
use crate::groups::Group;

/// What happens at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The process is killed before it.
    Kill,
    /// It is not done, and returns this error.
    Error(Errno),
    /// It is done, and returns this error: a reply that was lost on the network.
    DoneThenError(Errno),
    /// It moves at most so many bytes.
    Short(u64),
    /// From here on every call that reaches the file system fails, as when the device is gone.
    Gone,
    /// From here on every call that changes something fails: the file system has become read-only.
    ReadOnly,
    /// From here on every call that needs space fails.
    Full,
}

/// Which call meets which fault.
pub(crate) type Plan = Option<(usize, Fault)>;

/// What a file system does not have: the error of a call, whatever else happens.
pub(crate) type Lacking = fn(&Call) -> Option<Errno>;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By itself; it has said what came of it.
    Finished,
    Killed,
}

pub(crate) struct Run {
    /// The calls in order, those that are ignored left out.
    pub(crate) calls: Vec<Call>,
    pub(crate) end: End,
    /// What the program wrote to its stdout.
    pub(crate) output: String,
}

/// The program's side: from here on, until the next stop, every call counts.
pub(crate) fn begin() -> Result<()> {
    ptrace::traceme().context("this system does not let a program be traced")?;
    stop()
}

/// The program's side: the part that counts is over.
pub(crate) fn stop() -> Result<()> {
    // To this thread: another one that is just about to end might take it for the process.
    Ok(raise(Signal::SIGSTOP)?)
}

/// Runs `command`, which calls [`begin`] and [`stop`], under `plan`.
pub(crate) fn run(mut command: Command, lacking: Lacking, plan: Plan) -> Result<Run> {
    let child = command.stdout(Stdio::piped()).spawn()?;
    let pid = Pid::from_raw(child.id().try_into()?);
    let mut tracee = Tracee { pid, child, memory: None, calls: Vec::new(), lacking, plan };
    match tracee.trace() {
        Ok(end) => {
            let mut output = String::new();
            let stdout = tracee.child.stdout.take().context("a pipe")?;
            std::io::Read::read_to_string(&mut { stdout }, &mut output)?;
            if end == End::Finished {
                let status = tracee.child.wait()?;
                ensure!(status.success(), "the scenario failed: {status}");
            }
            Ok(Run { calls: tracee.calls, end, output })
        }
        Err(error) => {
            let _ = tracee.child.kill();
            let _ = tracee.child.wait();
            Err(error)
        }
    }
}

struct Tracee {
    pid: Pid,
    child: Child,
    /// Its memory, once it has begun.
    memory: Option<fs::File>,
    calls: Vec<Call>,
    lacking: Lacking,
    plan: Plan,
}

/// What is done to a call on its way in.
enum Meddling {
    None,
    Kill,
    /// It is left out.
    Skip(Errno),
    /// Its result is replaced.
    Replace(Errno),
    Shorten(u64),
}

impl Tracee {
    fn trace(&mut self) -> Result<End> {
        match waitpid(self.pid, None)? {
            WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
            status => bail!("the scenario did not begin: {status:?}"),
        }
        let options = Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_EXITKILL;
        ptrace::setoptions(self.pid, options)?;
        self.memory = Some(fs::File::open(format!("/proc/{}/mem", self.pid))?);
        // Until the program stops itself, is killed, or hangs and gets the SIGALRM that it has set.
        loop {
            if !self.resume()? {
                return Ok(End::Killed);
            }
            match self.call()? {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(End::Killed) => return Ok(End::Killed),
                ControlFlow::Break(End::Finished) => {
                    ptrace::cont(self.pid, None)?;
                    match waitpid(self.pid, None)? {
                        WaitStatus::Stopped(_, Signal::SIGSTOP) => {}
                        status => bail!("the scenario did not end: {status:?}"),
                    }
                    ptrace::detach(self.pid, None)?;
                    return Ok(End::Finished);
                }
            }
        }
    }

    /// Lets the program run up to the next edge of a call. False if it is dead.
    fn resume(&self) -> Result<bool> {
        let mut signal = None;
        // Bounded by the signals that the program is sent, of which there are none but SIGALRM.
        loop {
            ptrace::syscall(self.pid, signal)?;
            match waitpid(self.pid, None)? {
                WaitStatus::PtraceSyscall(_) => return Ok(true),
                WaitStatus::Stopped(_, it) => signal = Some(it),
                WaitStatus::Signaled(_, Signal::SIGKILL, _) => return Ok(false),
                status => bail!("the scenario came to a bad end: {status:?}, {}", self.last()),
            }
        }
    }

    fn last(&self) -> String {
        let names: Vec<&str> = self.calls.iter().rev().take(3).map(Call::name).collect();
        format!("its last calls were {}", names.join(", "))
    }

    /// One call, from its entry to its exit.
    fn call(&mut self) -> Result<ControlFlow<End>> {
        let mut registers = ptrace::getregs(self.pid)?;
        let number = registers.orig_rax as i64;
        if number == libc::SYS_tgkill {
            return Ok(ControlFlow::Break(End::Finished));
        }
        if is_ignored(number) {
            return self.leave();
        }
        let arguments = [
            registers.rdi,
            registers.rsi,
            registers.rdx,
            registers.r10,
            registers.r8,
            registers.r9,
        ];
        let paths = path_arguments(number).iter().map(|index| self.path(arguments[*index]));
        let paths = paths.collect::<Result<Vec<_>>>()?;
        let mut call = Call { number, arguments, paths, result: 0 };
        let meddling = self.meddling(&call);
        match meddling {
            Meddling::Kill => {
                self.calls.push(call);
                kill(self.pid, Signal::SIGKILL)?;
                let status = waitpid(self.pid, None)?;
                let is_dead = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
                ensure!(is_dead, "it outlived SIGKILL: {status:?}");
                return Ok(ControlFlow::Break(End::Killed));
            }
            // No call has this number.
            Meddling::Skip(_) => registers.orig_rax = u64::MAX,
            Meddling::Shorten(len) => registers.rdx = len,
            Meddling::None | Meddling::Replace(_) => {}
        }
        if matches!(meddling, Meddling::Skip(_) | Meddling::Shorten(_)) {
            ptrace::setregs(self.pid, registers)?;
        }
        if !self.resume()? {
            return Ok(ControlFlow::Break(End::Killed));
        }
        let mut registers = ptrace::getregs(self.pid)?;
        match meddling {
            Meddling::Skip(errno) | Meddling::Replace(errno) => {
                registers.rax = -i64::from(errno as i32) as u64;
            }
            // The kernel keeps all other registers, and so must this.
            Meddling::Shorten(_) => registers.rdx = call.arguments[2],
            Meddling::None | Meddling::Kill => {}
        }
        if !matches!(meddling, Meddling::None) {
            ptrace::setregs(self.pid, registers)?;
        }
        call.result = registers.rax as i64;
        self.calls.push(call);
        Ok(ControlFlow::Continue(()))
    }

    /// Lets a call through that does not count.
    fn leave(&self) -> Result<ControlFlow<End>> {
        Ok(match self.resume()? {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(End::Killed),
        })
    }

    fn meddling(&self, call: &Call) -> Meddling {
        match (self.fault(call), (self.lacking)(call)) {
            (Meddling::None, Some(errno)) => Meddling::Skip(errno),
            (meddling, _) => meddling,
        }
    }

    fn fault(&self, call: &Call) -> Meddling {
        let Some((at, fault)) = self.plan else { return Meddling::None };
        let index = self.calls.len();
        let group = call.group();
        let is_lasting = matches!(fault, Fault::Gone | Fault::ReadOnly | Fault::Full);
        if index != at && !(is_lasting && index > at) {
            return Meddling::None;
        }
        match fault {
            Fault::Kill => Meddling::Kill,
            // However it reports, close gives the descriptor back (close(2) on Linux).
            Fault::Error(errno) if group == Group::Close => Meddling::Replace(errno),
            Fault::Error(errno) => Meddling::Skip(errno),
            Fault::DoneThenError(errno) => Meddling::Replace(errno),
            Fault::Short(len) => Meddling::Shorten(len),
            Fault::Gone if matches!(group, Group::Close | Group::Ask) => Meddling::None,
            Fault::Gone => Meddling::Skip(Errno::EIO),
            Fault::ReadOnly if group.changes() => Meddling::Skip(Errno::EROFS),
            Fault::Full if group.grows() => Meddling::Skip(Errno::ENOSPC),
            Fault::ReadOnly | Fault::Full => Meddling::None,
        }
    }

    fn path(&self, address: u64) -> Result<String> {
        if address == 0 {
            return Ok(String::new()); // what the descriptor stands for
        }
        let mut bytes = [0; 512];
        // What lies behind the end of the path may be no memory at all.
        let memory = self.memory.as_ref().context("it has not begun")?;
        let len = memory.file().read_at(&mut bytes, address)?;
        let end = bytes[..len].iter().position(|byte| *byte == 0).unwrap_or(len);
        Ok(String::from_utf8_lossy(&bytes[..end]).into_owned())
    }
}
