//! The starter kits that are built in.

use serde_json::Value;

use crate::client::Client;
use crate::failure::Failure;

/// A starter kit: templates and rules of a tenant.
pub struct Kit {
    /// Its name.
    pub name: &'static str,
    about: &'static str,
    templates: &'static str,
    flows: &'static str,
}

/// All kits of this version.
pub const KITS: &[Kit] = &[Kit {
    name: "bank-menu",
    about: include_str!("../../../../kits/bank-menu/kit.json"),
    templates: include_str!("../../../../kits/bank-menu/templates.json"),
    flows: include_str!("../../../../kits/bank-menu/flows.json"),
}];

/// What was put into a tenant.
pub struct Applied {
    /// How many templates.
    pub templates: usize,
    /// How many rules.
    pub rules: usize,
}

impl Kit {
    /// The kit of a name.
    ///
    /// # Errors
    /// Which ones there are.
    pub fn find(name: &str) -> Result<&'static Self, Failure> {
        KITS.iter().find(|kit| kit.name == name).ok_or_else(|| {
            let names: Vec<&str> = KITS.iter().map(|kit| kit.name).collect();
            Failure::new(format!(
                "there is no kit {name:?}; there are: {}",
                names.join(", ")
            ))
        })
    }

    /// What a customer writes first.
    pub fn first_message(&self) -> String {
        json(self.about)["firstMessage"]
            .as_str()
            .unwrap_or("hi")
            .to_owned()
    }

    /// One sentence about it.
    pub fn description(&self) -> String {
        json(self.about)["description"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Puts it into a tenant through the API, over what is there under the same keys.
    ///
    /// # Errors
    /// What the server says.
    pub async fn apply(&self, client: &Client, tenant: &str) -> Result<Applied, Failure> {
        let (templates, flows) = (json(self.templates), json(self.flows));
        let templates = templates.as_array().map(Vec::as_slice).unwrap_or_default();
        let path = format!("/api/tenants/{tenant}/templates");
        let there = client.list(&path, "templates").await?;
        for template in templates {
            let key = template["key"].as_str().unwrap_or_default();
            if there.iter().any(|known| known["key"] == key) {
                client.put(&format!("{path}/{key}"), template).await?;
            } else {
                client.post(&path, template).await?;
            }
        }
        client
            .post(&format!("/api/tenants/{tenant}/flows"), &flows)
            .await?;
        let rules = flows["flows"].as_array().map_or(0, Vec::len);
        Ok(Applied {
            templates: templates.len(),
            rules,
        })
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("the kits are JSON, as a test makes sure")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use waxwing_core::flow::FlowSet;
    use waxwing_core::template::Template;

    use super::*;

    #[test]
    fn every_kit_is_valid_and_leads_nowhere_dead() {
        for kit in KITS {
            assert!(!kit.first_message().is_empty() && !kit.description().is_empty());
            assert_eq!(json(kit.about)["name"], kit.name);
            let templates: Vec<Template> = serde_json::from_str(kit.templates).unwrap();
            let keys: BTreeSet<&str> = templates
                .iter()
                .map(|template| template.key.as_str())
                .collect();
            assert_eq!(
                keys.len(),
                templates.len(),
                "{}: a key is there twice",
                kit.name
            );
            for template in &templates {
                assert_eq!(template.violations(), [], "{}", template.key);
            }
            let flows: FlowSet = serde_json::from_str(kit.flows).unwrap();
            assert_eq!(flows.violations(), []);
            let named = flows
                .template_keys()
                .into_iter()
                .map(|(_, key)| key.to_owned());
            let next = json(kit.templates).to_string();
            let next = next
                .split("\"nextTemplateKey\":\"")
                .skip(1)
                .filter_map(|rest| rest.split('"').next());
            let reached: BTreeSet<String> = named.chain(next.map(str::to_owned)).collect();
            for key in &reached {
                assert!(
                    keys.contains(key.as_str()),
                    "{}: {key} is named and not there",
                    kit.name
                );
            }
            for key in keys {
                assert!(
                    reached.contains(key),
                    "{}: nothing leads to {key}",
                    kit.name
                );
            }
        }
    }

    #[test]
    fn an_unknown_kit_is_told_with_those_there_are() {
        let failure = Kit::find("rocket").err().unwrap();
        assert!(failure.text.contains("bank-menu"));
    }
}
