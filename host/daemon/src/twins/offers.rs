//! What of the reported properties is offered to the hub, which may refuse some of them.
//!
//! Pure. A patch that the hub refuses is offered again in parts, so that one property that it does not take keeps no
//! other away from it. What is refused alone is not offered again as it is.

use serde_json::{Map, Value};

/// The offers of one session. Another one begins anew, since the hub may have changed its mind.
#[derive(Debug)]
pub(super) struct Offers {
    /// What the hub has refused alone: no more than a twin may have of them.
    refused: Map<String, Value>,
    /// How many properties are offered at once.
    at_most: usize,
}

impl Default for Offers {
    fn default() -> Self {
        Self {
            refused: Map::new(),
            at_most: usize::MAX,
        }
    }
}

impl Offers {
    /// What of this is to be offered now; nothing if the hub has refused all of it.
    pub(super) fn next(&mut self, unsent: &Map<String, Value>) -> Option<Map<String, Value>> {
        self.refused
            .retain(|name, value| unsent.get(name) == Some(&*value));
        let open = unsent
            .iter()
            .filter(|(name, _)| !self.refused.contains_key(*name));
        let next: Map<String, Value> = open
            .take(self.at_most)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if next.is_empty() {
            self.at_most = usize::MAX;
            return None;
        }
        Some(next)
    }

    /// The hub has taken what was offered.
    pub(super) fn taken(&mut self) {
        self.at_most = self.at_most.saturating_mul(2);
    }

    /// The hub has refused it. Answers the name of the property if it was one alone.
    pub(super) fn refused(&mut self, offer: Map<String, Value>) -> Option<String> {
        if offer.len() > 1 {
            self.at_most = offer.len() / 2;
            return None;
        }
        let (name, value) = offer.into_iter().next()?;
        self.refused.insert(name.clone(), value);
        Some(name)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    /// A hub that refuses whatever holds one of these names: what it has in the end, and after how many offers.
    fn offer_all(offers: &mut Offers, unsent: &Value, bad: &[&str]) -> (Value, usize) {
        let (mut unsent, mut taken, mut count) = (map(unsent.clone()), Map::new(), 0);
        while let Some(offer) = offers.next(&unsent) {
            count += 1;
            assert!(count < 1000, "it never ends");
            if bad.iter().any(|bad| offer.contains_key(*bad)) {
                offers.refused(offer);
                continue;
            }
            unsent.retain(|name, _| !offer.contains_key(name));
            taken.extend(offer);
            offers.taken();
        }
        (Value::Object(taken), count)
    }

    #[test]
    fn what_the_hub_takes_gets_there_beside_what_it_refuses() {
        let all = |count: usize| -> Value {
            (0..count).map(|n| (format!("k{n:03}"), json!(n))).collect()
        };
        let check = |unsent: &Value, bad: &[&str], offers_max| {
            let mut wanted = map(unsent.clone());
            wanted.retain(|name, _| !bad.contains(&name.as_str()));
            let (taken, count) = offer_all(&mut Offers::default(), unsent, bad);
            assert_eq!(taken, Value::Object(wanted), "{bad:?}");
            assert!(count <= offers_max, "{count} offers for {bad:?}");
        };
        check(&json!({}), &[], 0);
        check(&json!({ "a": 1, "b": null }), &[], 1);
        check(&json!({ "a": 1 }), &["a"], 1);
        check(&json!({ "a": 1, "b": 2, "c": 3 }), &["b"], 5);
        check(&all(500), &["k000"], 30);
        check(&all(500), &["k250", "k499"], 60);
        let every = map(all(20));
        let every: Vec<&str> = every.keys().map(String::as_str).collect();
        check(&all(20), &every, 30);
    }

    #[test]
    fn what_was_refused_is_offered_again_once_it_has_changed() {
        let mut offers = Offers::default();
        let check = |offers: &mut Offers, unsent: Value, expected: Value| {
            let next = offers.next(&map(unsent)).map_or(Value::Null, Value::Object);
            assert_eq!(next, expected);
        };
        assert_eq!(offers.refused(map(json!({ "a": 1 }))), Some("a".to_owned()));
        check(&mut offers, json!({ "a": 1 }), Value::Null);
        check(&mut offers, json!({ "a": 1, "b": 2 }), json!({ "b": 2 }));
        check(&mut offers, json!({ "a": 2 }), json!({ "a": 2 }));
        // It was other in between, and is forgotten.
        check(&mut offers, json!({ "a": 1 }), json!({ "a": 1 }));
    }
}
