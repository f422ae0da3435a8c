//! Workers that each have a file in memory, make one image after another its contents, and have a
//! process of their own mount it and look. Most of the time such a process waits for the kernel, so
//! there are more of them than processors.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fs_err as fs;

use crate::case::Case;
use crate::image::Image;
use crate::observe::Observation;

/// A recovery takes milliseconds. If it takes so long, the kernel hangs.
const PATIENCE: Duration = Duration::from_secs(120);

struct Looker {
    disk: fs::File,
    child: Child,
    questions: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Looker {
    fn start(case: &Case) -> Result<Looker> {
        let path = case.disk()?;
        let disk = fs::File::create(&path)?;
        disk.set_len(case.disk_size())?;
        let mut command = case.child("look", &path)?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let questions = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no output")?);
        let (sender, answers) = mpsc::channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let looker = Looker { disk, child, questions, answers };
        ensure!(looker.answer()? == "ready", "the process that looks is not ready");
        fs::remove_file(path)?; // its loop device has it open
        Ok(looker)
    }

    fn answer(&self) -> Result<String> {
        self.answers.recv_timeout(PATIENCE).map_err(|error| anyhow!("no answer: {error}"))
    }

    fn look(&mut self, image: Image) -> Result<Observation> {
        image.save(&self.disk)?;
        writeln!(self.questions.as_mut().context("no input")?, "look")?;
        Ok(serde_json::from_str(&self.answer()?)?)
    }
}

impl Drop for Looker {
    fn drop(&mut self) {
        self.questions = None; // it ends when there are no more questions
        let _ = self.child.wait();
    }
}

/// Calls `make` with a function that takes images, looks at each in one of `workers` processes, and
/// gives what was seen, by the images' hashes.
pub(crate) fn look_at_all<T>(
    case: &Case,
    workers: usize,
    make: impl FnOnce(&mut dyn FnMut(u64, Image) -> Result<()>) -> Result<T>,
) -> Result<(T, HashMap<u64, Observation>)> {
    let (images, queue) = mpsc::sync_channel::<(u64, Image)>(workers);
    let queue = Mutex::new(queue);
    thread::scope(|scope| {
        let work = || -> Result<Vec<(u64, Observation)>> {
            let mut looker = Looker::start(case)?;
            let mut seen = Vec::new();
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                let Ok((hash, image)) = next else { return Ok(seen) };
                seen.push((hash, looker.look(image)?));
            }
        };
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        let made = feed(images, make);
        let mut seen = HashMap::new();
        for worker in workers {
            let by_worker = worker.join().map_err(|_| anyhow!("a worker panicked"))?;
            seen.extend(by_worker?);
        }
        Ok((made?, seen))
    })
}

/// The queue ends when this returns.
fn feed<T>(
    images: SyncSender<(u64, Image)>,
    make: impl FnOnce(&mut dyn FnMut(u64, Image) -> Result<()>) -> Result<T>,
) -> Result<T> {
    make(&mut |hash, image| {
        images.send((hash, image)).map_err(|_| anyhow!("all workers have stopped"))
    })
}
