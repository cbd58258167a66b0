//! Sending calls of the scripts to a server that may not know them yet.

use jetcache_core::Fault;
use redis::{Cmd, Pipeline, ServerErrorKind, Value};

use crate::redis::answer::{lacks, outcome};
use crate::redis::connection::calm::Calm;
use crate::redis::connection::line::{Batch, Line, Repeat};
use crate::redis::script::Script;

/// Sends the commands in one pipeline; one outcome a command. A command that the server refused for
/// not knowing its script was not carried out, so it may be sent again: once, behind the scripts.
pub(in crate::redis) async fn run(
    line: &dyn Line,
    commands: Vec<Cmd>,
    repeat: Repeat,
) -> Vec<Result<Value, Fault>> {
    let count = commands.len();
    let mut pipeline = Pipeline::with_capacity(count);
    for command in commands {
        pipeline.add_command(command);
    }
    let batch = Batch {
        commands: &pipeline,
        ahead: 0,
        alone: count,
        repeat,
        connection: None,
    };
    let mut answers = line.send(batch).await;
    let unknown: Vec<usize> = (0..answers.len())
        .filter(|&at| is_unknown(&answers[at]))
        .collect();
    let mut fault = None;
    if !unknown.is_empty() {
        match again(line, &pipeline, &unknown, repeat).await {
            Ok(second) => {
                for (&at, answer) in unknown.iter().zip(second) {
                    answers[at] = answer;
                }
            }
            Err(why) => {
                if matches!(why, Fault::Refused(_)) {
                    line.scripts().refused(&why);
                }
                fault = Some(why);
            }
        }
    }
    note(line.scripts(), &answers);
    answers
        .into_iter()
        .map(|answer| match &fault {
            Some(fault) if is_unknown(&answer) => Err(fault.clone()),
            _ => outcome(answer?),
        })
        .collect()
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
