//! A line, understood.

use std::sync::Arc;
use std::time::Duration;

use jetcache_tokio::Call;

use crate::object::Object;
use crate::recipe::{Brings, Recipe};
use crate::words::{Word, Words, millis};

/// What is to be done, and whether the next line waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) background: bool,
    pub(crate) task: Task,
}

/// A command of the node, or of one of its caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Sleep(Duration),
    Quit,
    Ask(Box<Question>),
}

/// What a cache is asked, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// Which one; the node's own if there is none.
    pub(crate) namespace: Option<String>,
    pub(crate) call: Call,
    /// The tags that the call gives its value, for loaders.
    pub(crate) tags: Vec<String>,
    pub(crate) command: Command,
}

/// What a cache can be asked; main.rs says what each of them means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Get(String),
    Peek(String),
    Load(String, Recipe),
    LoadRegistered(String, Recipe),
    Refresh(String, Recipe),
    WriteThrough(String, Recipe),
    Events(u64, Duration),
    Confirm(String, Duration),
    Set(String, Arc<Object>),
    SetIfAbsent(String, Arc<Object>),
    SetIfPresent(String, Arc<Object>),
    Delete(String),
    Exists(String),
    GetMany(Vec<String>),
    LoadMany(Vec<String>, Recipe),
    SetMany(Vec<String>, Arc<Object>),
    DeleteMany(Vec<String>),
    Parallel(usize, String, Recipe),
    Cancel(String, Recipe, Duration),
    Hold(String, Recipe),
    DeleteLocal(String),
    DeleteTags(Vec<String>),
    ClearAll,
    ConfirmRaises(Duration),
    Clear,
    Ping,
    Stats,
    Close,
}

impl Request {
    /// # Errors
    /// What is wrong with the line.
    pub(crate) fn parse(line: &str) -> Result<Self, String> {
        let mut words = Words::of(line);
        let background = words.take_mark();
        let (mut namespace, mut wished) = (None, None);
        let name = loop {
            if namespace.is_none() {
                namespace = words.take_namespace()?;
            }
            let name = words.text("the command")?;
            if name != "with" || wished.is_some() {
                break name;
            }
            wished = Some(wishes(&words.text("what to wish for")?)?);
        };
        let of_node = match &*name {
            "sleep" => Some(Task::Sleep(words.millis("MS")?)),
            "quit" => Some(Task::Quit),
            _ => None,
        };
        let (takes_wishes, task) = match of_node {
            Some(_) if namespace.is_some() => {
                return Err(format!(
                    "{name} is not a command of one cache: leave out the @"
                ));
            }
            Some(task) => (false, task),
            None => {
                let (takes_wishes, command, ttl) = command(&name, &mut words)?;
                let (mut call, tags) = wished.clone().unwrap_or_default();
                if let Some(ttl) = ttl {
                    call = call.ttl(ttl);
                }
                let question = Question {
                    namespace,
                    call,
                    tags,
                    command,
                };
                (takes_wishes, Task::Ask(Box::new(question)))
            }
        };
        words.end()?;
        if wished.is_some() && !takes_wishes {
            return Err(format!("{name} takes no wishes"));
        }
        Ok(Self { background, task })
    }
}

/// The command of this name, whether it takes wishes, and the TTL among its arguments.
fn command(name: &str, words: &mut Words<'_>) -> Result<(bool, Command, Option<Duration>), String> {
    let mut ttl = None;
    let mut wishes = true;
    let command = match name {
        "get" => Command::Get(key(words)?),
        "exists" => Command::Exists(key(words)?),
        "load" => Command::Load(key(words)?, delayed(words)?),
        "refresh" => Command::Refresh(key(words)?, delayed(words)?),
        "wt" => Command::WriteThrough(key(words)?, delayed(words)?),
        "rload" => Command::LoadRegistered(key(words)?, delayed(words)?),
        "set" | "setnx" | "setxx" => {
            let (key, object) = (key(words)?, object(words)?);
            ttl = words.optional_millis("TTL_MS")?;
            match name {
                "set" => Command::Set(key, object),
                "setnx" => Command::SetIfAbsent(key, object),
                _ => Command::SetIfPresent(key, object),
            }
        }
        "mget" => Command::GetMany(keys(words)?),
        "mload" => Command::LoadMany(keys(words)?, delayed(words)?),
        "mset" => {
            let (keys, object) = (keys(words)?, object(words)?);
            ttl = words.optional_millis("TTL_MS")?;
            Command::SetMany(keys, object)
        }
        "par" => {
            let callers = words.number("N")?;
            if callers > MOST_CALLERS {
                return Err(format!("N is {callers}: {MOST_CALLERS} is the most"));
            }
            let (key, brings) = (key(words)?, brings(words)?);
            let delay = words.millis("DELAY_MS")?;
            Command::Parallel(callers, key, recipe(brings, delay))
        }
        "cancel" => {
            let (key, brings) = (key(words)?, brings(words)?);
            let delay = words.millis("DELAY_MS")?;
            let after = words.millis("AFTER_MS")?;
            Command::Cancel(key, recipe(brings, delay), after)
        }
        "hold" => {
            let (key, brings) = (key(words)?, brings(words)?);
            let delay = Duration::ZERO;
            Command::Hold(key, recipe(brings, delay))
        }
        _ => {
            wishes = false;
            match name {
                "peek" => Command::Peek(key(words)?),
                "del" => Command::Delete(key(words)?),
                "mdel" => Command::DeleteMany(keys(words)?),
                "events" => Command::Events(words.number("N")?, words.millis("MS")?),
                "confirm" => Command::Confirm(key(words)?, words.millis("MS")?),
                "deltag" => Command::DeleteTags(keys(words)?),
                "clearall" => Command::ClearAll,
                "confirmtags" => Command::ConfirmRaises(words.millis("MS")?),
                "dellocal" => Command::DeleteLocal(key(words)?),
                "clear" => Command::Clear,
                "ping" => Command::Ping,
                "stats" => Command::Stats,
                "close" => Command::Close,
                _ => return Err(format!("there is no command {name:?}")),
            }
        }
    };
    Ok((wishes, command, ttl))
}

fn key(words: &mut Words<'_>) -> Result<String, String> {
    words.text("KEY")
}

fn keys(words: &mut Words<'_>) -> Result<Vec<String>, String> {
    let keys = words.text("KEY,KEY,..")?;
    Ok(keys.split(',').map(ToOwned::to_owned).collect())
}

fn object(words: &mut Words<'_>) -> Result<Arc<Object>, String> {
    let (str, num) = (words.text("STR")?, words.number("NUM")?);
    Ok(Arc::new(Object { str, num }))
}

fn brings(words: &mut Words<'_>) -> Result<Brings, String> {
    let Word { text, quoted } = words.word("STR")?;
    let num = words.number("NUM")?;
    Ok(match &*text {
        "-" if !quoted => Brings::Nothing,
        "!" if !quoted => Brings::Failure,
        "panic" if !quoted => Brings::Panic,
        _ => Brings::Object(Arc::new(Object { str: text, num })),
    })
}

fn delayed(words: &mut Words<'_>) -> Result<Recipe, String> {
    let brings = brings(words)?;
    let delay = words.optional_millis("DELAY_MS")?;
    Ok(recipe(brings, delay.unwrap_or_default()))
}

fn recipe(brings: Brings, delay: Duration) -> Recipe {
    Recipe {
        brings,
        delay,
        tags: Vec::new(),
    }
}

/// The wishes, and the tags among them.
fn wishes(text: &str) -> Result<(Call, Vec<String>), String> {
    let (mut call, mut tags) = (Call::new(), Vec::new());
    for wish in text.split(',') {
        call = match wish.split_once('=') {
            Some(("ttl", span)) => call.ttl(millis("ttl", span)?),
            Some(("local-ttl", span)) => call.local_ttl(millis("local-ttl", span)?),
            Some(("tags", all)) => {
                tags = all.split('+').map(ToOwned::to_owned).collect();
                call.tags(&tags)
            }
            None if wish == "skip-local" => call.skip_local(),
            None if wish == "skip-remote" => call.skip_remote(),
            None if wish == "no-store" => call.no_store(),
            _ => return Err(format!("there is no wish {wish:?}")),
        };
    }
    Ok((call, tags))
}

/// How many callers one line may start, and how many lines may be in the background.
pub(crate) const MOST_CALLERS: usize = 100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str) -> Question {
        match Request::parse(line).unwrap().task {
            Task::Ask(question) => *question,
            other => panic!("{other:?}"),
        }
    }

    fn parsed(line: &str) -> Command {
        asked(line).command
    }

    fn ada() -> Arc<Object> {
        Arc::new(Object {
            str: "Ada".into(),
            num: -36,
        })
    }

    #[test]
    fn special_loaders_are_unquoted() {
        let brings = |text: &str| match parsed(&format!("load k {text} 1")) {
            Command::Load(_, recipe) => recipe.brings,
            other => panic!("{other:?}"),
        };
        assert_eq!(brings("-"), Brings::Nothing);
        assert_eq!(brings("!"), Brings::Failure);
        assert_eq!(brings("panic"), Brings::Panic);
        for text in ["\"-\"", "\"!\"", "\"panic\""] {
            assert!(matches!(brings(text), Brings::Object(_)), "{text}");
        }
        assert_eq!(parsed("set k Ada -36"), Command::Set("k".into(), ada()));
        assert!(matches!(parsed("set k - 1"), Command::Set(_, object) if object.str == "-"));
    }

    #[test]
    fn wishes_and_a_ttl_reach_the_call() {
        let request = Request::parse("& with skip-remote,local-ttl=5,no-store set k Ada -36 7");
        let call = Call::new()
            .skip_remote()
            .local_ttl(Duration::from_millis(5))
            .no_store()
            .ttl(Duration::from_millis(7));
        assert_eq!(
            request,
            Ok(Request {
                background: true,
                task: Task::Ask(Box::new(Question {
                    namespace: None,
                    call,
                    tags: Vec::new(),
                    command: Command::Set("k".into(), ada()),
                })),
            })
        );
        for line in [
            "with stats",
            "with ttl=1 stats",
            "with ttl get k",
            "with ttl=-1 get k",
            "with , get k",
            "with skip-local=1 get k",
            "with ttl=1 with ttl=2 get k",
            "with ttl=1",
        ] {
            assert!(Request::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn tags_reach_loaders_and_changes() {
        let question = asked("with ttl=5,tags=a+b set k Ada -36");
        assert_eq!(question.tags, ["a", "b"]);
        let call = Call::new().ttl(Duration::from_millis(5));
        assert_eq!(question.call, call.tags(["a", "b"]));
        assert_eq!(asked("get k").tags, [""; 0]);
        let tags = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(parsed("deltag a,b"), Command::DeleteTags(tags));
        assert_eq!(parsed("clearall"), Command::ClearAll);
        for line in ["deltag", "clearall k", "with tags=a deltag a"] {
            assert!(Request::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_namespace_stands_before_the_command() {
        assert_eq!(asked("get @k").namespace, None);
        for line in [
            "@ns get k",
            "& @ns get k",
            "@ns with skip-local get k",
            "with skip-local @ns get k",
        ] {
            let question = asked(line);
            assert_eq!(question.namespace.as_deref(), Some("ns"), "{line}");
            assert_eq!(question.command, Command::Get("k".into()));
        }
        for line in [
            "@ns",
            "@ get k",
            "@ns @ns get k",
            "@ns & get k",
            "@ns sleep 1",
            "@ns quit",
            "@ns with ttl=1 stats",
        ] {
            assert!(Request::parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn commas_separate_keys() {
        let keys = |line: &str| match parsed(line) {
            Command::GetMany(keys) | Command::DeleteMany(keys) => keys,
            other => panic!("{other:?}"),
        };
        assert_eq!(keys("mget a,b,a"), ["a", "b", "a"]);
        assert_eq!(keys("mget \"a b,c\""), ["a b", "c"]);
        assert_eq!(keys("mdel a,,"), ["a", "", ""]);
        assert_eq!(keys("mdel \"\""), [""]);
        let question = asked("mset a,b Ada -36 7");
        assert_eq!(question.call, Call::new().ttl(Duration::from_millis(7)));
        let keys = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(question.command, Command::SetMany(keys, ada()));
    }

    #[test]
    fn lines_that_say_nothing_or_too_much_are_errors() {
        for line in [
            "",
            "&",
            "& ",
            "fetch k",
            "GET k",
            "get",
            "get a b",
            "load k Ada",
            "load k Ada one",
            "load k Ada 9223372036854775808",
            "load k Ada 1 -5",
            "load k Ada 1 18446744073709551616",
            "par -1 k Ada 1 1",
            "par 100001 k Ada 1 1",
            "par 99999999999999999999 k Ada 1 1",
            "par 1 k Ada 1",
            "cancel k Ada 1 1",
            "mget",
            "mget a b",
            "mload a,b",
            "mload a Ada 1 1 1",
            "mset a,b Ada",
            "mdel",
            "with ttl=1 mdel a",
            "stats now",
            "wt k Ada",
            "refresh k",
            "with ttl=1 events 1 1",
            "events 1",
            "events -1 5",
            "confirm k",
            "with ttl=1 confirm k 5",
            "sleep",
            "sleep 1.5",
        ] {
            assert!(Request::parse(line).is_err(), "{line}");
        }
    }
}
