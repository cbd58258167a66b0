//! The verbs of a namespace's log of generations, as commands, and what is answered to them.

use jetcache_core::Fault;
use jetcache_core::machine::generations::scope::{list_key, top_key};
use jetcache_core::ports::bus::Kind;
use jetcache_core::ports::remote::{
    Ensure, Ensured, Mark, NewsPage, Raise, RaiseEvent, Raised, Scope,
};
use redis::{Pipeline, Value};

use crate::redis::answer::{outcome, unexpected};
use crate::redis::connection::line::Repeat;
use crate::redis::script::Script;
use crate::redis::script::calls::Calls;
use crate::redis::{Redis, event};

impl Redis {
    /// Sent twice it raises twice, which costs misses.
    pub(super) fn raising(&self, raise: &Raise<'_>) -> Calls {
        let mut calls = self.rising(Script::Raise, raise.namespace, raise.clock);
        for scope in raise.scopes {
            calls.word(scope.member());
        }
        calls
    }

    pub(super) fn ensuring(&self, ensure: &Ensure<'_>) -> Calls {
        let mut calls = self.rising(Script::Ensure, ensure.namespace, ensure.clock);
        for (scope, mark) in ensure.marks {
            calls.word(scope.member()).shown(mark.number());
        }
        calls
    }

    /// A call of a script of the log, with the arguments that both have.
    fn rising(&self, script: Script, namespace: &str, clock: Mark) -> Calls {
        let mut calls = Calls::default();
        calls
            .script(script, 2)
            .word(top_key(namespace))
            .word(list_key(namespace))
            .shown(clock.number());
        match &self.herald {
            Some(herald) => {
                let (opening, key) =
                    event::opening(&herald.cache, &herald.source, Kind::Raise, namespace);
                calls.word(&*herald.channel).word(opening).word(key);
            }
            None => {
                calls.word("").word("").word("");
            }
        }
        calls
    }

    /// A page, so that the server does other things before the next.
    pub(super) async fn marks(&self, namespace: &str, since: Mark) -> Result<NewsPage, Fault> {
        let list = list_key(namespace);
        let mut most = PAGE;
        loop {
            let page = self.page(&list, since, most).await?;
            // Behind a score that is no mark there are none.
            let last = page.last().and_then(|(_, mark)| *mark);
            let next = last.filter(|_| page.len() >= most);
            // One raise is less than a page; a stranger's members may be more.
            if next.is_some_and(|next| next <= since) {
                most *= 2;
                continue;
            }
            let marks = page.iter().filter_map(|(scope, mark)| (*scope).zip(*mark));
            return Ok(NewsPage {
                marks: marks.collect(),
                next,
            });
        }
    }

    async fn page(&self, list: &str, from: Mark, most: usize) -> Result<Vec<Marked>, Fault> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline
            .cmd("ZRANGE")
            .arg(list)
            .arg(from.number())
            .arg("+inf")
            .arg("BYSCORE")
            .arg("WITHSCORES")
            .arg("LIMIT")
            .arg(0)
            .arg(most);
        let parse = |_, mut answers: Vec<Value>| Ok(vec![page(answers.pop().unwrap_or_default())]);
        let mut pages = self.ask(&pipeline, 0, 1, Repeat::Once, parse).await;
        pages.pop().unwrap_or(Err(Fault::Timeout))
    }
}

/// A member of the list, as far as it is a scope with a mark.
pub(super) type Marked = (Option<Scope>, Option<Mark>);

pub(super) fn page(answer: Value) -> Result<Vec<Marked>, Fault> {
    match answer {
        // A list of another type is none: the next raise begins a new one.
        Value::ServerError(error) if error.code() == "WRONGTYPE" => Ok(Vec::new()),
        answer => match outcome(answer)? {
            Value::Array(flat) => {
                // RESP3 has an array a member.
                let flat: Vec<Value> = flat.into_iter().flat_map(spread).collect();
                let (pairs, []) = flat.as_chunks() else {
                    return Err(unexpected(&Value::Array(flat)));
                };
                Ok(pairs.iter().map(marked).collect())
            }
            other => Err(unexpected(&other)),
        },
    }
}

fn spread(value: Value) -> Vec<Value> {
    match value {
        Value::Array(pair) => pair,
        other => vec![other],
    }
}

fn marked([member, score]: &[Value; 2]) -> Marked {
    let scope = scope(member);
    let score = match score {
        // Some servers write a round one as `1e+15`.
        Value::BulkString(score) => str::from_utf8(score)
            .ok()
            .and_then(|text| text.parse().ok()),
        Value::Double(score) => Some(*score),
        _ => None,
    };
    let mark = score.and_then(|score: f64| Mark::parse(&format!("{score:.0}")));
    (scope, mark)
}

/// What a raise answered: the number, the one before it, whether the list is new, the marks.
pub(super) fn raised(answer: Value) -> Result<Raised, Fault> {
    if let Value::Array(parts) = &answer
        && let [number, before, Value::Int(anew), Value::Array(marks)] = &parts[..]
        && let (Some(number), Some(before)) = (mark(number), mark(before))
        && let Some(marks) = marks.iter().map(mark).collect()
    {
        return Ok(Raised {
            number,
            before,
            marks,
            anew: *anew == 1,
        });
    }
    Err(unexpected(&answer))
}

/// What an ensure answered: the highest number, the one before it, and what was raised.
pub(super) fn ensured(answer: Value) -> Result<Ensured, Fault> {
    if let Value::Array(parts) = &answer
        && let [top, before, Value::Array(scopes)] = &parts[..]
        && let (Some(top), Some(before)) = (mark(top), mark(before))
        && let Some(scopes) = scopes.iter().map(scope).collect::<Option<Vec<Scope>>>()
    {
        let numbers = Some((before, top));
        let raised = (!scopes.is_empty()).then_some(RaiseEvent { numbers, scopes });
        return Ok(Ensured { top, raised });
    }
    Err(unexpected(&answer))
}

fn scope(value: &Value) -> Option<Scope> {
    match value {
        Value::BulkString(member) => Scope::parse(str::from_utf8(member).ok()?),
        _ => None,
    }
}

fn mark(value: &Value) -> Option<Mark> {
    match value {
        Value::BulkString(text) => Mark::parse(str::from_utf8(text).ok()?),
        _ => None,
    }
}

/// How many members of the list are asked for at once; one raise has fewer.
const PAGE: usize = 1000;
