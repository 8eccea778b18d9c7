//! JSON merge patch (RFC 7396) and its inverse.
//!
//! Owns the two pure functions on objects. Leaves versions, metadata and
//! limits to the section.

use serde_json::{Map, Value};

/// Applies a merge patch: null deletes a key, objects merge, all else
/// (arrays too) replaces.
pub fn merge_patch(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, change) in patch {
        match change {
            Value::Null => drop(target.remove(key)),
            Value::Object(changes) => match target.get_mut(key) {
                Some(Value::Object(members)) => merge_patch(members, changes),
                _ => drop(target.insert(key.clone(), Value::Object(without_nulls(changes)))),
            },
            other => drop(target.insert(key.clone(), other.clone())),
        }
    }
}

/// The smallest merge patch that leads from one object to the other.
///
/// Null members of `to` are passed over, since a merge patch cannot make
/// them.
pub fn diff(from: &Map<String, Value>, to: &Map<String, Value>) -> Map<String, Value> {
    let is_gone = |key: &String| to.get(key).is_none_or(Value::is_null);
    let deletions = from
        .keys()
        .filter(|key| is_gone(key))
        .map(|key| (key.clone(), Value::Null));
    let changes = to.iter().filter_map(|(key, new)| {
        let change = match (from.get(key), new) {
            (_, Value::Null) => return None,
            (Some(Value::Object(old)), Value::Object(new)) => {
                let changes = diff(old, new);
                return (!changes.is_empty()).then(|| (key.clone(), Value::Object(changes)));
            }
            (Some(old), new) if old == new => return None,
            (_, Value::Object(new)) => Value::Object(without_nulls(new)),
            (_, new) => new.clone(),
        };
        Some((key.clone(), change))
    });
    deletions.chain(changes).collect()
}

/// The object that a patch leaves where nothing was.
pub(super) fn without_nulls(patch: &Map<String, Value>) -> Map<String, Value> {
    let kept = |(key, value): (&String, &Value)| match value {
        Value::Null => None,
        Value::Object(members) => Some((key.clone(), Value::Object(without_nulls(members)))),
        other => Some((key.clone(), other.clone())),
    };
    patch.iter().filter_map(kept).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("not an object: {other}"),
        }
    }

    /// Objects of few keys, so that patches meet what they change.
    pub(in crate::twin) fn arbitrary_object(
        nulls: bool,
    ) -> impl Strategy<Value = Map<String, Value>> {
        let mut leaves = vec![
            any::<bool>().prop_map(Value::from).boxed(),
            (0..3).prop_map(Value::from).boxed(),
            "[ab]{0,2}".prop_map(Value::from).boxed(),
            proptest::collection::vec(0..2, 0..3)
                .prop_map(Value::from)
                .boxed(),
        ];
        if nulls {
            leaves.push(Just(Value::Null).boxed());
        }
        let leaf = proptest::strategy::Union::new(leaves);
        let value = leaf.prop_recursive(4, 24, 4, |inner| {
            proptest::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| members.into_iter().collect::<Map<_, _>>().into())
        });
        proptest::collection::btree_map("[a-c]", value, 0..4)
            .prop_map(|members| members.into_iter().collect())
    }

    #[test]
    fn patches_of_rfc_7396_give_its_results() {
        let check = |target: Value, patch: Value, expected: Value| {
            let mut result = object(target);
            merge_patch(&mut result, &object(patch));
            assert_eq!(Value::Object(result), expected);
        };
        // The examples of its appendix A that are objects.
        check(json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"}));
        check(json!({"a":"b"}), json!({"a":null}), json!({}));
        check(
            json!({"a":"b","b":"c"}),
            json!({"a":null}),
            json!({"b":"c"}),
        );
        check(json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"}));
        check(json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]}));
        check(
            json!({"a":{"b":"c"}}),
            json!({"a":{"b":"d","c":null}}),
            json!({"a":{"b":"d"}}),
        );
        check(json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]}));
        check(json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1}));
        check(
            json!({}),
            json!({"a":{"bb":{"ccc":null}}}),
            json!({"a":{"bb":{}}}),
        );
    }

    #[test]
    fn a_difference_is_as_small_as_can_be() {
        let check = |from: Value, to: Value, expected: Value| {
            assert_eq!(Value::Object(diff(&object(from), &object(to))), expected);
        };
        check(json!({"a":1}), json!({"a":1}), json!({}));
        check(
            json!({"a":1,"b":2}),
            json!({"b":3}),
            json!({"a":null,"b":3}),
        );
        check(
            json!({"a":{"x":1,"y":2}}),
            json!({"a":{"x":1}}),
            json!({"a":{"y":null}}),
        );
        check(
            json!({"a":{"x":1}}),
            json!({"a":{}}),
            json!({"a":{"x":null}}),
        );
        check(json!({"a":1}), json!({"a":{}}), json!({"a":{}}));
        check(json!({"a":[1,2]}), json!({"a":[1]}), json!({"a":[1]}));
        check(json!({"a":1}), json!({"a":null}), json!({"a":null}));
        check(json!({}), json!({"a":{"b":null}}), json!({"a":{}}));
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_to_the_other(
            from in arbitrary_object(false),
            to in arbitrary_object(false),
        ) {
            let mut result = from.clone();
            merge_patch(&mut result, &diff(&from, &to));
            prop_assert_eq!(result, to);
        }

        #[test]
        fn a_patch_applied_twice_changes_nothing_more(
            from in arbitrary_object(false),
            patch in arbitrary_object(true),
        ) {
            let mut once = from;
            merge_patch(&mut once, &patch);
            let mut twice = once.clone();
            merge_patch(&mut twice, &patch);
            prop_assert_eq!(&once, &twice);
            prop_assert_eq!(without_nulls(&once), once);
        }
    }
}
