//! Takes lines, has them answered, and ends well.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jetcache_tokio::Runtime;
use smol::channel::{Receiver, Sender, bounded};
use smol::future::{or, poll_once};

use crate::input::Line;
use crate::reply::{Reply, say, say_ready};
use crate::request::{MOST_CALLERS, Request, Task};
use crate::session::Session;

/// Answers lines until one says `quit`, or there are no more.
///
/// # Errors
/// If the replies cannot be written.
pub(crate) async fn serve<R: Runtime>(
    session: &Arc<Session<R>>,
    lines: &Receiver<Line>,
) -> io::Result<()> {
    session.listen().await;
    say_ready()?;
    // Nothing is sent: the channel ends when the last line in the background does.
    let (busy, idle) = bounded::<()>(1);
    while let Ok(Line { id, text }) = lines.recv().await {
        let start = Instant::now();
        let request = text
            .map_err(ToOwned::to_owned)
            .and_then(|text| Request::parse(&text));
        match request {
            Ok(request) if request.task == Task::Quit => {
                quit(session, busy, &idle).await;
                return say(id, &Reply::DONE, start);
            }
            Ok(request) if request.background => {
                if busy.sender_count() > MOST_CALLERS {
                    say(
                        id,
                        &Reply::failed("too many lines are in the background"),
                        start,
                    )?;
                    continue;
                }
                answer_later(session, id, request.task, start, busy.clone()).await;
            }
            Ok(request) => say(id, &session.answer(request.task).await, start)?,
            Err(error) => say(id, &Reply::failed(error), start)?,
        }
    }
    quit(session, busy, &idle).await;
    Ok(())
}

async fn answer_later<R: Runtime>(
    session: &Arc<Session<R>>,
    id: u64,
    task: Task,
    start: Instant,
    busy: Sender<()>,
) {
    let asked = Arc::clone(session);
    let mut line = Box::pin(async move {
        let reply = asked.answer(task).await;
        // If nobody reads, the next line in the foreground ends the program.
        let _ = say(id, &reply, start);
        drop(busy);
    });
    // Begun before the next line is looked at, so that lines take effect in their order.
    if poll_once(&mut line).await.is_some() {
        return;
    }
    if let Err(in_place) = session.runtime().spawn(line) {
        in_place.await;
    }
}

/// Lets the lines in the background end and closes all caches; neither may take for ever.
async fn quit<R: Runtime>(session: &Session<R>, busy: Sender<()>, idle: &Receiver<()>) {
    drop(busy);
    session.release();
    let ending = async {
        // An error says that the channel ended, which is what is waited for.
        let _ = idle.recv().await;
        session.close().await;
    };
    or(ending, session.runtime().sleep(GRACE)).await;
}

const GRACE: Duration = Duration::from_secs(5);
