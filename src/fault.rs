//! The test seam: every operation of the system goes through [`run`] or [`allowance`], which name
//! it, count it and, in tests, fail it. Outside tests both are empty.

/// An operation of the system that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    OpenDirectory,
    MakeDirectory,
    RemoveDirectory,
    Look,
    ReadLink,
    OpenTarget,
    ReadTarget,
    CreateTemp,
    CreateUnnamed,
    LinkUnnamed,
    Lock,
    Inspect,
    Reserve,
    Write,
    Seek,
    SetLen,
    Close,
    ReadTemp,
    ListXattrs,
    GetXattr,
    SetXattr,
    RemoveXattr,
    SetOwner,
    SetMode,
    SetTimes,
    SyncFile,
    SyncDirectory,
    Rename,
    RenameNoReplace,
    Exchange,
    Link,
    RemoveTemp,
    OpenThrough,
    WriteThrough,
    OpenSideFile,
    RemoveSideFile,
    List,
    OpenOrphan,
    RemoveEntry,
    MoveDirectory,
    MakeSymlink,
    CloneContents,
    ListMounts,
    Identify,
    WriteOut,
    OpenStaged,
}

#[cfg(test)]
impl Op {
    /// Every operation.
    #[cfg_attr(not(unix), allow(dead_code, reason = "the fault loops run on Unix"))]
    pub(crate) const ALL: &[Op] = &[
        Op::OpenDirectory,
        Op::MakeDirectory,
        Op::RemoveDirectory,
        Op::Look,
        Op::ReadLink,
        Op::OpenTarget,
        Op::ReadTarget,
        Op::CreateTemp,
        Op::CreateUnnamed,
        Op::LinkUnnamed,
        Op::Lock,
        Op::Inspect,
        Op::Reserve,
        Op::Write,
        Op::Seek,
        Op::SetLen,
        Op::Close,
        Op::ReadTemp,
        Op::ListXattrs,
        Op::GetXattr,
        Op::SetXattr,
        Op::RemoveXattr,
        Op::SetOwner,
        Op::SetMode,
        Op::SetTimes,
        Op::SyncFile,
        Op::SyncDirectory,
        Op::Rename,
        Op::RenameNoReplace,
        Op::Exchange,
        Op::Link,
        Op::RemoveTemp,
        Op::OpenThrough,
        Op::WriteThrough,
        Op::OpenSideFile,
        Op::RemoveSideFile,
        Op::List,
        Op::OpenOrphan,
        Op::RemoveEntry,
        Op::MoveDirectory,
        Op::MakeSymlink,
        Op::CloneContents,
        Op::ListMounts,
        Op::Identify,
        Op::WriteOut,
        Op::OpenStaged,
    ];
}

#[cfg(not(test))]
pub(crate) use inactive::{allowance, most_threads, pretends, run};
#[cfg(test)]
#[cfg_attr(not(unix), allow(unused_imports, reason = "the fault loops run on Unix"))]
pub(crate) use injection::{
    Fault, Interruption, Plan, When, allowance, most_threads, pretends, run, with_plan,
};

#[cfg(not(test))]
mod inactive {
    use super::Op;
    use std::io;

    /// Runs one operation.
    #[inline(always)]
    pub(crate) fn run<T>(_: Op, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        operation()
    }

    /// How many of `len` bytes an operation may move.
    #[inline(always)]
    pub(crate) fn allowance(_: Op, len: usize) -> usize {
        len
    }

    /// How many threads may share the work.
    #[inline(always)]
    pub(crate) fn most_threads(wanted: usize) -> usize {
        wanted
    }

    /// Whether an operation gives the answer that no file system here would.
    #[inline(always)]
    pub(crate) fn pretends(_: Op) -> bool {
        false
    }
}

#[cfg(test)]
#[cfg_attr(not(unix), allow(dead_code, reason = "the fault loops run on Unix"))]
mod injection {
    use super::Op;
    use std::cell::RefCell;
    use std::io;
    use std::path::{Path, PathBuf};

    /// What happens at the chosen operation.
    #[derive(Clone, Copy, Debug)]
    #[allow(dead_code, reason = "only Unix fails every operation")]
    pub(crate) enum Fault {
        /// It is not done and reports this error.
        Error(i32),
        /// It is done, and yet reports this error, as a network file system may.
        DoneThenError(i32),
        /// Half of the bytes are moved and reported.
        Short,
        /// No byte is moved, and that is no error.
        Nothing,
        /// Somebody else does this right before it.
        Meanwhile(fn()),
        /// The process dies before it: this operation and all later ones do nothing.
        Die,
    }

    /// Something that somebody else does to the file at `path`, right before an operation.
    #[derive(Clone, Debug)]
    pub(crate) struct Interruption {
        pub(crate) when: When,
        pub(crate) action: fn(&Path),
        pub(crate) path: PathBuf,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum When {
        /// Before the operation of this index.
        At(usize),
        BeforeEach(Op),
    }

    /// Which operation meets which fault, and the record of what was run.
    #[derive(Clone, Debug, Default)]
    pub(crate) struct Plan {
        /// The index of the operation to fail, and how.
        pub(crate) at: Option<(usize, Fault)>,
        /// Operations that this file system does not have, each with the error that it gives.
        pub(crate) lacking: Vec<(Op, i32)>,
        /// What others do meanwhile.
        pub(crate) interruptions: Vec<Interruption>,
        /// Operations that give the answer that no file system here would.
        pub(crate) pretending: Vec<Op>,
        /// Every operation so far.
        pub(crate) log: Vec<Op>,
        pub(crate) dead: bool,
    }

    thread_local! {
        static PLAN: RefCell<Option<Plan>> = const { RefCell::new(None) };
    }

    /// Runs `scenario` under `plan` on this thread and gives the plan back with its record.
    pub(crate) fn with_plan<T>(plan: Plan, scenario: impl FnOnce() -> T) -> (T, Plan) {
        PLAN.with_borrow_mut(|slot| *slot = Some(plan));
        let result = scenario();
        let plan = PLAN.take().expect("the plan stays in place while the scenario runs");
        (result, plan)
    }

    enum Verdict {
        Go,
        Fail(io::Error),
        GoThenFail(io::Error),
        GoAfter(fn()),
    }

    impl Plan {
        /// Whether the fault meets an operation of this kind.
        pub(crate) fn meets(&self, op: Op) -> bool {
            self.at.is_some_and(|(index, _)| self.log.get(index) == Some(&op))
        }

        fn judge(&mut self, op: Op) -> Verdict {
            let index = self.log.len();
            self.log.push(op);
            let fault = self.at.filter(|(at, _)| *at == index).map(|(_, fault)| fault);
            self.dead |= matches!(fault, Some(Fault::Die));
            if self.dead {
                return Verdict::Fail(io::Error::other("the process is dead"));
            }
            let lacking = self.lacking.iter().find(|(lacking, _)| *lacking == op);
            match (fault, lacking) {
                (Some(Fault::Error(code)), _) | (None, Some(&(_, code))) => {
                    Verdict::Fail(io::Error::from_raw_os_error(code))
                }
                (Some(Fault::Meanwhile(deed)), _) => Verdict::GoAfter(deed),
                (Some(Fault::DoneThenError(code)), _) => {
                    Verdict::GoThenFail(io::Error::from_raw_os_error(code))
                }
                _ => Verdict::Go,
            }
        }
    }

    fn interrupt(op: Op) {
        let is_due = |plan: &Plan, when: When| match when {
            When::At(index) => index == plan.log.len() && !plan.dead,
            When::BeforeEach(each) => each == op && !plan.dead,
        };
        let due: Vec<Interruption> = PLAN.with_borrow(|plan| {
            let plan = plan.iter();
            plan.flat_map(|plan| plan.interruptions.iter().filter(|it| is_due(plan, it.when)))
                .cloned()
                .collect()
        });
        // Under no plan, since the crate itself may be called.
        let plan = PLAN.take();
        due.iter().for_each(|interruption| (interruption.action)(&interruption.path));
        PLAN.set(plan);
    }

    pub(crate) fn run<T>(op: Op, operation: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        interrupt(op);
        let verdict = PLAN.with_borrow_mut(|plan| plan.as_mut().map(|plan| plan.judge(op)));
        match verdict {
            None | Some(Verdict::Go) => operation(),
            Some(Verdict::Fail(error)) => Err(error),
            Some(Verdict::GoThenFail(error)) => operation().and(Err(error)),
            Some(Verdict::GoAfter(deed)) => {
                deed();
                operation()
            }
        }
    }

    /// Only the one that has a plan, so that it meets all operations, and in the same order.
    pub(crate) fn most_threads(wanted: usize) -> usize {
        PLAN.with_borrow(|plan| if plan.is_some() { 1 } else { wanted })
    }

    pub(crate) fn pretends(op: Op) -> bool {
        PLAN.with_borrow(|plan| plan.as_ref().is_some_and(|plan| plan.pretending.contains(&op)))
    }

    pub(crate) fn allowance(_: Op, len: usize) -> usize {
        PLAN.with_borrow(|plan| match plan {
            Some(Plan { at: Some((at, fault)), log, .. }) if *at == log.len() => match fault {
                Fault::Short => len.div_ceil(2),
                Fault::Nothing => 0,
                _ => len,
            },
            _ => len,
        })
    }
}
