//! A cache for JavaScript: a function that answers a promise is the loader, and callers of one key share its
//! load.

use std::future::Future;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::time::Duration;

use jetcache_core::unsync::{Builder, Moment, Tasks, Timer};
use jetcache_core::{Cached, LoadError, Timestamp};
use js_sys::{Function, Math, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};

/// A cache of values by text.
#[wasm_bindgen]
pub struct Cache {
    tasks: Rc<Tasks<String, JsValue, Host>>,
}

#[wasm_bindgen]
impl Cache {
    /// A cache of at most `capacity` entries, which are fresh for so long.
    #[wasm_bindgen(constructor)]
    pub fn new(capacity: usize, ttl_millis: u32) -> Result<Cache, JsError> {
        let capacity = NonZeroUsize::new(capacity).ok_or(JsError::new("capacity is zero"))?;
        let settings = Builder::new(capacity).ttl(Duration::from_millis(u64::from(ttl_millis)));
        let tasks = Rc::new(settings.build_tasks(Host)?);
        Ok(Self { tasks })
    }

    /// Promises the value of `key`; `loader` is called if it is not known, and answers it or a promise of
    /// it. `undefined` and `null` mean that there is none, which is remembered, too.
    #[wasm_bindgen(js_name = getOrLoad)]
    pub fn get_or_load(&self, key: String, loader: Function) -> Promise {
        let tasks = Rc::clone(&self.tasks);
        future_to_promise(async move {
            let load = async || {
                let loading = loader.call0(&JsValue::UNDEFINED).map_err(text)?;
                let value = JsFuture::from(Promise::resolve(&loading))
                    .await
                    .map_err(text)?;
                let exists = !value.is_undefined() && !value.is_null();
                Ok::<_, LoadError>(exists.then_some(value))
            };
            let loaded = tasks.get_or_load(&key, load).await;
            let loaded = loaded.map_err(JsError::from)?;
            Ok(loaded.unwrap_or(JsValue::UNDEFINED))
        })
    }

    /// What is known of `key`: `undefined` if that is nothing.
    pub fn peek(&self, key: &str) -> JsValue {
        match self.tasks.peek(key) {
            Cached::Hit(value) | Cached::Stale(value) => value,
            Cached::Absent | Cached::Miss => JsValue::UNDEFINED,
        }
    }

    /// Forgets `key`. What is being loaded is not kept.
    pub fn invalidate(&self, key: &str) {
        self.tasks.invalidate(key);
    }

    /// How often a loader has brought something.
    #[wasm_bindgen(getter)]
    pub fn loads(&self) -> f64 {
        self.tasks.stats().loads as f64
    }

    /// How many callers shared a load.
    #[wasm_bindgen(getter)]
    pub fn coalesced(&self) -> f64 {
        self.tasks.stats().coalesced as f64
    }
}

/// An error of JavaScript's cannot leave its thread, but its text can.
fn text(error: JsValue) -> String {
    match error.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => format!("{error:?}"),
    }
}

/// The clock, the dice and the timer of whoever runs the module.
struct Host;

impl Timer for Host {
    fn moment(&self) -> Moment {
        let nanos = (now() * 1e6) as u64;
        let bits = (0..4).fold(0, |bits: u128, _| {
            bits << 32 | u128::from((Math::random() * 4_294_967_296.0) as u32)
        });
        Moment::new(Timestamp::from_nanos(nanos), bits)
    }

    fn sleep(&self, span: Duration) -> impl Future<Output = ()> {
        let millis = i32::try_from(span.as_millis()).unwrap_or(i32::MAX);
        let mut alarm = Alarm(JsValue::UNDEFINED);
        let rings = Promise::new(&mut |rings, _| alarm.0 = set_timeout(&rings, millis));
        async move {
            let _alarm = alarm;
            // Nobody rejects it.
            let _ = JsFuture::from(rings).await;
        }
    }
}

/// A timer that is set until it is dropped.
struct Alarm(JsValue);

impl Drop for Alarm {
    fn drop(&mut self) {
        clear_timeout(&self.0);
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance)]
    fn now() -> f64;

    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(rings: &Function, millis: i32) -> JsValue;

    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(alarm: &JsValue);
}
