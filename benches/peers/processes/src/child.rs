//! One process from its start to its end: [`run`].
//!
//! The time is that from before the process is made to after its end is seen, on the wall. Output goes to files, so that nobody has to
//! run beside the process to read it. The end is waited for on a file descriptor of the process, which can have a time limit without
//! looking again and again.

use crescendo_processes::Result;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::fs::File;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use wait4::Wait4;

/// What a process took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// From start to end.
    pub wall: Duration,
    /// Processor time of all its threads, in user mode.
    pub user: Duration,
    /// As `user`, in the system.
    pub system: Duration,
    /// Most bytes of memory that it had at a time; at least what this process had when it started it.
    pub peak: u64,
    /// How it ended; none if it was ended because of the time limit.
    pub status: Option<ExitStatus>,
}

impl Run {
    /// Processor time in all.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// Runs a command in a folder, with stdin from a file and output to the files `stdout` and `stderr` of the folder.
///
/// # Errors
///
/// If the process cannot be made or waited for.
pub fn run(command: &mut Command, folder: &Path, stdin: Option<&Path>, limit: Duration) -> Result<Run> {
    let stdin = match stdin {
        Some(path) => Stdio::from(File::open(path)?),
        None => Stdio::null(),
    };
    let (stdout, stderr) = (File::create(folder.join("stdout"))?, File::create(folder.join("stderr"))?);
    command.current_dir(folder).stdin(stdin).stdout(stdout).stderr(stderr);
    let start = Instant::now();
    let mut child = command.spawn().map_err(|error| format!("{:?}: {error}", command.get_program()))?;
    let in_time = ends_within(Pid::from_child(&child), start + limit)?;
    if !in_time {
        child.kill()?;
    }
    let used = child.wait4()?;
    let wall = start.elapsed();
    Ok(Run {
        wall,
        user: used.rusage.utime,
        system: used.rusage.stime,
        peak: used.rusage.maxrss,
        status: in_time.then_some(used.status),
    })
}

/// Waits for the end of a process of ours that has not been waited for; answers whether it came in time.
fn ends_within(pid: Pid, deadline: Instant) -> Result<bool> {
    let process = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let timeout = Timespec::try_from(left)?;
        match poll(&mut [PollFd::new(&process, PollFlags::IN)], Some(&timeout)) {
            Ok(0) => return Ok(false),
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, limit: Duration) -> (Run, String) {
        let folder =
            std::env::temp_dir().join(format!("crescendo-child-{}-{}", std::process::id(), script.len()));
        std::fs::create_dir_all(&folder).expect("a folder for temporary files");
        let run = run(Command::new("sh").args(["-c", script]), &folder, None, limit).expect("a shell");
        let stdout = std::fs::read_to_string(folder.join("stdout")).expect("a file that was made");
        std::fs::remove_dir_all(&folder).expect("the folder made above");
        (run, stdout)
    }

    #[test]
    fn a_process_is_measured_to_its_end() {
        let (run, stdout) = shell("sleep 0.05; echo done; exit 3", Duration::from_secs(60));
        assert_eq!((run.status.and_then(|status| status.code()), stdout.as_str()), (Some(3), "done\n"));
        assert!(run.wall >= Duration::from_millis(50) && run.peak > 0, "{run:?}");
    }

    #[test]
    fn a_process_is_ended_at_the_limit() {
        let (run, _) = shell("exec sleep 60", Duration::from_millis(50));
        assert!(run.status.is_none() && run.wall < Duration::from_secs(30), "{run:?}");
    }
}
