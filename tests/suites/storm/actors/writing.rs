//! The writers of write-throughs: what they do to the database, and what must follow from it.

use std::future::pending;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jetcache_core::{Error, Load, LoadError, Reach, Runtime};

use crate::actors::loading::Database;
use crate::fate::ledger::{Floor, Place};
use crate::fate::promise::Promise;

/// What a writer has done so far.
#[derive(Clone, Default)]
pub(crate) struct Writing(Arc<Mutex<Course>>);

#[derive(Clone, Copy, Default)]
struct Course {
    /// How often it was run.
    runs: u32,
    /// When the row was written.
    row: Option<u64>,
    /// What was answered, if anything was.
    answer: Option<Option<u64>>,
    /// When it ended, however it ended.
    over: u64,
}

/// Lives as long as the writer does, and notes its end even if the writer is cancelled or panics.
struct Pen {
    database: Database,
    writing: Writing,
}

impl Drop for Pen {
    fn drop(&mut self) {
        self.writing.0.lock().unwrap().over = self.database.world.tick();
    }
}

impl Writing {
    fn course(&self) -> Course {
        *self.0.lock().unwrap()
    }

    /// The writer: it takes its time, writes the row at some moment, and may fail before or after.
    pub(crate) async fn write(
        self,
        database: Database,
        at: Place,
        may_hang: bool,
    ) -> Result<Load<u64>, LoadError> {
        let (writing, world, judge) = (&self, &database.world, &database.judge);
        let pen = Pen {
            database: database.clone(),
            writing: self.clone(),
        };
        writing.0.lock().unwrap().runs += 1;
        let takes = || match world.below(10) {
            0 => Duration::from_millis(world.below(1_000)),
            1..4 => Duration::ZERO,
            _ => Duration::from_millis(world.below(40)),
        };
        world.sleep(takes()).await;
        let (what, key) = (world.below(20), at.1);
        let (row, value) = match what {
            0 => return Err(judge.failure([key]).into()),
            1 => resume_unwind(Box::new("the writer")),
            _ => judge.row(at, what > 4),
        };
        writing.0.lock().unwrap().row = Some(row);
        world.sleep(takes()).await;
        let answer = match what {
            5 => return Err(judge.failure([key]).into()),
            6 => resume_unwind(Box::new("the writer, after it wrote")),
            7 if may_hang => return pending().await,
            8 => database.tagged(key, value).uncached(),
            _ => database.tagged(key, value),
        };
        writing.0.lock().unwrap().answer = Some(value);
        drop(pen);
        Ok(answer)
    }

    /// Judges a write-through that has returned.
    pub(crate) fn is_judged(
        &self,
        database: &Database,
        at: Place,
        answer: &Result<Option<u64>, Error>,
    ) {
        let (course, judge) = (self.course(), &database.judge);
        judge.rule(course.runs == 1, Promise::P6, || {
            format!("a writer ran {} times at {at:?}", course.runs)
        });
        let holds = match answer {
            Ok(value) => course.answer == Some(*value),
            Err(_) => course.answer.is_none(),
        };
        judge.rule(holds, Promise::P6, || {
            format!("a writer answered {:?}: {answer:?}", course.answer)
        });
        // A failed writer may have written the row, so nothing older than its end may be seen.
        let floor = match (answer, course.row) {
            (Ok(_), Some(row)) => row,
            _ => course.over,
        };
        judge.wrote_through();
        judge.end_change(at, floor, Reach::Everywhere);
        if let Err(error @ Error::Load(_)) = answer {
            judge.answer(at.1, Floor::default(), &Err(error.clone()));
        }
    }
}
