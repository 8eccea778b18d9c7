//! Greets whoever sends a name, in the words of its desired properties.

use serde::Deserialize;
use wasm_edge_sdk::{Message, Outgoing, Result, log, module};

/// The desired properties, with what counts where one is not set.
#[derive(Deserialize)]
#[serde(default)]
struct Settings {
    greeting: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            greeting: "Hello".into(),
        }
    }
}

/// The state, which lives as long as the instance.
#[derive(Default)]
struct {{type}} {
    settings: Settings,
    greeted: u64,
}

#[module]
impl {{type}} {
    /// Called with all desired properties at the start, and again at each change.
    fn desired(&mut self, desired: Settings) -> Result {
        self.settings = desired;
        Ok(())
    }

    /// Called with each message; what it sends goes out together with the message's completion, or not at all.
    fn message(&mut self, message: &Message) -> Result {
        let name = message.text()?;
        self.greeted += 1;
        log::info!("greeting {name}, number {}", self.greeted);
        let text = format!("{}, {name}!", self.settings.greeting);
        Outgoing::text(text).send("greetings")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_sdk::json;
    use wasm_edge_sdk::testing::{Harness, Outcome};

    use super::*;

    #[test]
    fn it_greets_by_name() {
        let mut module = Harness::<{{type}}>::new();
        let handled = module.message("Ada").expect_ok();
        assert_eq!(handled.only_sent().output, "greetings");
        assert_eq!(handled.only_sent().text(), "Hello, Ada!");
    }

    #[test]
    fn it_greets_as_its_twin_says() {
        let mut module = Harness::<{{type}}>::new();
        module.desired(json!({ "greeting": "Moin" })).expect_ok();
        let handled = module.message("Grace").expect_ok();
        assert_eq!(handled.only_sent().text(), "Moin, Grace!");
    }

    #[test]
    fn what_is_no_text_is_put_aside() {
        let mut module = Harness::<{{type}}>::new();
        let handled = module.message(vec![0xff]);
        assert!(matches!(handled.outcome, Outcome::Rejected(_)));
    }
}
