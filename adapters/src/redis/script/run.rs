//! Sending calls of the scripts to a server that may not know them yet.

use jetcache_core::Fault;
use redis::{Pipeline, ServerErrorKind, Value};

use crate::redis::answer::{lacks, outcome};
use crate::redis::connection::calm::Calm;
use crate::redis::connection::line::{Batch, Line, Repeat};
use crate::redis::script::Script;
use crate::redis::script::calls::Calls;
use crate::redis::script::parts::{Part, parts};

/// Sends the calls in one pipeline; one outcome a call. A command that the server refused for not
/// knowing its script was not carried out, so it may be sent again: once, behind the scripts. Neither was
/// one that is many calls and was refused for want of a right, maybe to the keys of one: then each of
/// them is sent by itself.
pub(in crate::redis) async fn run(
    line: &dyn Line,
    calls: &Calls,
    repeat: Repeat,
    connection: Option<usize>,
) -> Vec<Result<Value, Fault>> {
    let sent = parts(calls, line.joins());
    let answers = send(line, &commands(calls, &sent), repeat, connection).await;
    let mut outcomes: Vec<_> = (0..calls.len()).map(|_| Err(Fault::Timeout)).collect();
    let mut denied: Vec<Part> = Vec::new();
    for (part, answer) in sent.into_iter().zip(answers) {
        if part.calls.len() > 1 && is_denied(&answer) {
            denied.extend(part.alone());
        } else {
            part.spread(answer, &mut outcomes);
        }
    }
    if !denied.is_empty() {
        let answers = send(line, &commands(calls, &denied), repeat, connection).await;
        for (part, answer) in denied.into_iter().zip(answers) {
            part.spread(answer, &mut outcomes);
        }
    }
    outcomes
}

fn commands(calls: &Calls, parts: &[Part]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(parts.len());
    for part in parts {
        pipeline.add_command(part.command(calls));
    }
    pipeline
}

/// Sends the commands, and those again whose script the server did not know.
async fn send(
    line: &dyn Line,
    commands: &Pipeline,
    repeat: Repeat,
    connection: Option<usize>,
) -> Vec<Result<Value, Fault>> {
    let batch = Batch {
        commands,
        ahead: 0,
        alone: commands.len(),
        repeat,
        connection,
    };
    let mut answers = line.send(batch).await;
    let unknown: Vec<usize> = (0..answers.len())
        .filter(|&at| is_unknown(&answers[at]))
        .collect();
    if !unknown.is_empty() {
        match Box::pin(again(line, commands, &unknown, repeat)).await {
            Ok(second) => {
                for (&at, answer) in unknown.iter().zip(second) {
                    answers[at] = answer;
                }
            }
            Err(why) => {
                if matches!(why, Fault::Refused(_)) {
                    line.scripts().refused(&why);
                }
                for at in unknown {
                    answers[at] = Err(why.clone());
                }
            }
        }
    }
    note(line.scripts(), &answers);
    answers
}

/// Notes whether the server lets us run scripts.
fn note(scripts: &Calm, answers: &[Result<Value, Fault>]) {
    let forbidden = answers.iter().find_map(|answer| match answer {
        // Not the keys of one cache, which are another matter.
        Ok(Value::ServerError(error))
            if error.kind() == Some(ServerErrorKind::NoPerm)
                && error.to_string().contains("evalsha") =>
        {
            Some(lacks(error))
        }
        _ => None,
    });
    let carried_out = |answer: &Result<Value, Fault>| matches!(answer, Ok(value) if !matches!(value, Value::ServerError(_)));
    match forbidden {
        Some(fault) => scripts.refused(&fault),
        None if answers.iter().any(carried_out) => scripts.accepted(),
        None => {}
    }
}

/// Sends the scripts, and behind them the commands for which the server did not know them.
async fn again(
    line: &dyn Line,
    commands: &Pipeline,
    unknown: &[usize],
    repeat: Repeat,
) -> Result<Vec<Result<Value, Fault>>, Fault> {
    let mut pipeline = Pipeline::with_capacity(Script::ALL.len() + unknown.len());
    for script in Script::ALL {
        pipeline.cmd("SCRIPT").arg("LOAD").arg(script.text());
    }
    for (_, command) in commands
        .cmd_iter()
        .enumerate()
        .filter(|(at, _)| unknown.contains(at))
    {
        pipeline.add_command(command.clone());
    }
    let batch = Batch {
        commands: &pipeline,
        ahead: Script::ALL.len(),
        alone: unknown.len(),
        repeat,
        connection: None,
    };
    let mut answers = line.send(batch).await;
    let calls = answers.split_off(Script::ALL.len().min(answers.len()));
    // If the load was refused, its reason is the one worth reading.
    answers
        .into_iter()
        .try_for_each(|load| outcome(load?).map(drop))?;
    Ok(calls)
}

fn is_unknown(answer: &Result<Value, Fault>) -> bool {
    matches!(answer, Ok(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::NoScript))
}

fn is_denied(answer: &Result<Value, Fault>) -> bool {
    matches!(answer, Ok(Value::ServerError(error)) if error.kind() == Some(ServerErrorKind::NoPerm))
}
