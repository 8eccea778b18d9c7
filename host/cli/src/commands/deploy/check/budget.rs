//! Whether a device would take a manifest without faults: its policy, its memory, the images that it has. Pure.

use wasm_edge_daemon::agent::memory::{Budget, MemoryAvailable, MemoryFault};
use wasm_edge_images::reference::Reference;
use wasm_edge_images::registry::Registry;
use wasm_edge_model::manifest::{Manifest, ModuleSpec, PullPolicy};

use super::images::{At, AtHand};
use crate::exit_codes::ExitStatus;

/// What is said where nothing but free memory is missing.
const FREE_HINT: &str = "stop what is not needed on that machine, or deploy fewer modules";

/// What is said otherwise.
const POLICY_HINT: &str = "change the manifest, or what the policy of the device allows (`[policy]` of its configuration)";

/// Why a device would refuse, as far as it is not a matter of memory.
#[derive(Debug, Default)]
pub(super) struct Refusals(Vec<String>);

/// The budget of memory, and the verdict on all.
#[derive(Debug)]
pub(super) struct Budgeted {
    pub(super) budget: Budget,
    pub(super) available: MemoryAvailable,
    /// Why a device would refuse: all that was found.
    pub(super) refusals: Vec<String>,
    /// Whether all of them may be gone another time.
    passing: bool,
}

impl Refusals {
    /// A registry that the policy does not allow.
    pub(super) fn add_registry(&mut self, registry: &Registry, spec: &ModuleSpec) {
        let Ok(reference) = Reference::try_from(&spec.image) else {
            return;
        };
        if let Err(err) = registry.check_allowed(reference.registry()) {
            self.0.push(format!("module `{}`: {err}", spec.id));
        }
    }

    fn add_image(&mut self, spec: &ModuleSpec, image: &AtHand) {
        if let Some(why) = &image.refused {
            self.0.push(format!("module `{}`: {why}", spec.id));
        }
        if image.at == At::Nowhere && spec.pull_policy == PullPolicy::Never {
            let text = "its image is not in the image store, and its pull policy is `never`";
            self.0.push(format!("module `{}`: {text}", spec.id));
        }
    }
}

impl Budgeted {
    /// What becomes of a manifest with these images, beside what was found before. `at_hand` has an image for each module.
    pub(super) fn of(
        manifest: &Manifest,
        at_hand: &[AtHand],
        mut refusals: Refusals,
        policy_max_bytes: Option<u64>,
        free_bytes: Option<u64>,
    ) -> Self {
        let specs = || manifest.modules.values();
        for (spec, image) in specs().zip(at_hand) {
            refusals.add_image(spec, image);
        }
        let budget = Budget::of(specs(), |id| {
            let mut known = specs().zip(at_hand);
            let (_, image) = known.find(|(spec, _)| spec.id == *id)?;
            image.needs
        });
        let available = MemoryAvailable {
            policy_max_bytes,
            free_bytes,
        };
        let faults = budget.faults(available);
        let is_free = |fault: &MemoryFault| matches!(fault, MemoryFault::Free { .. });
        let passing = refusals.0.is_empty() && faults.iter().all(is_free);
        let Refusals(mut refusals) = refusals;
        refusals.extend(faults.iter().map(ToString::to_string));
        Self {
            budget,
            available,
            refusals,
            passing,
        }
    }

    /// How the check ends, with a hint; none where the device takes it.
    pub(super) fn verdict(&self) -> Option<(ExitStatus, &'static str)> {
        match (self.refusals.is_empty(), self.passing) {
            (true, _) => None,
            (false, true) => Some((ExitStatus::TryLater, FREE_HINT)),
            (false, false) => Some((ExitStatus::BadConfig, POLICY_HINT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_edge_daemon::code::MemoryNeeds;
    use wasm_edge_model::manifest::Origin;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn manifest(pull: &str) -> Manifest {
        let text = format!(
            r#"{{ "modulesContent": {{ "$edgeAgent": {{ "properties.desired": {{ "schemaVersion": "1.1",
            "runtime": {{ "type": "docker", "settings": {{}} }}, "modules": {{ "m": {{ "type": "docker",
            "status": "running", "restartPolicy": "always", "imagePullPolicy": "{pull}",
            "settings": {{ "image": "a.org/m:1" }} }} }} }} }},
            "$edgeHub": {{ "properties.desired": {{ "schemaVersion": "1.1", "routes": {{}} }} }} }} }}"#
        );
        let checked = Manifest::check(&text, Origin::LocalFile);
        checked.unwrap_or_else(|faults| panic!("{faults:?}")).value
    }

    fn image(at: At, needed_bytes: Option<u64>) -> AtHand {
        AtHand {
            needs: needed_bytes.map(|largest_bytes| MemoryNeeds {
                memories: 1,
                largest_bytes,
            }),
            ..AtHand::new(at)
        }
    }

    /// With these bytes of the policy, and free.
    fn check(
        pull: &str,
        image: AtHand,
        bytes: (Option<u64>, Option<u64>),
        status: Option<ExitStatus>,
        part: &str,
    ) {
        let manifest = manifest(pull);
        let refusals = Refusals::default();
        let budgeted = Budgeted::of(&manifest, &[image], refusals, bytes.0, bytes.1);
        let found = budgeted.verdict().map(|(status, _)| status);
        assert_eq!(found, status, "{budgeted:?}");
        let told = budgeted.refusals.join("\n");
        assert!(told.contains(part), "{part} is not in {told}");
    }

    #[test]
    fn what_does_not_fit_now_may_fit_later_and_what_policy_refuses_does_not() {
        let needs = |bytes| image(At::Store, Some(bytes));
        check("on-create", needs(MIB), (None, None), None, "");
        check(
            "on-create",
            needs(MIB),
            (Some(20 * MIB), Some(MIB)),
            None,
            "",
        );
        let later = Some(ExitStatus::TryLater);
        check(
            "on-create",
            needs(MIB),
            (None, Some(MIB - 1)),
            later,
            "1048575 are free",
        );
        let never = Some(ExitStatus::BadConfig);
        let policy = (Some(20 * MIB - 1), None);
        check(
            "on-create",
            needs(MIB),
            policy,
            never,
            "the policy of the device has 20971519",
        );
        let both = (Some(MIB), Some(0));
        check("on-create", needs(MIB), both, never, "0 are free");
        check(
            "on-create",
            needs(17 * MIB),
            (None, None),
            never,
            "its limit is 16777216",
        );
    }

    #[test]
    fn an_image_that_is_not_here_is_refused_if_it_may_not_be_pulled() {
        let nowhere = || image(At::Nowhere, None);
        check("on-create", nowhere(), (None, Some(0)), None, "");
        let never = Some(ExitStatus::BadConfig);
        check("never", nowhere(), (None, None), never, "`never`");
        check("never", image(At::Unknown, None), (None, None), None, "");
        let refused = AtHand {
            refused: Some("no component".to_owned()),
            ..image(At::Store, None)
        };
        check(
            "never",
            refused,
            (None, None),
            never,
            "module `m`: no component",
        );
    }
}
