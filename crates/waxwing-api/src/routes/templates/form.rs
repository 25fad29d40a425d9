//! How a template looks in JSON, in and out.

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use waxwing_core::content::Frame;
use waxwing_core::ids::TemplateId;
use waxwing_core::template::{
    Next, Template, TemplateButton, TemplateForm, TemplateRow, TemplateSection,
};
use waxwing_core::time::Timestamp;
use waxwing_store::domain::templates::TemplateRecord;

use crate::check::Checks;
use crate::errors::ApiResult;

/// The kinds of templates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TemplateKind {
    /// Plain text.
    Text,
    /// A body with one to three reply buttons.
    InteractiveButton,
    /// A body with a list that opens.
    InteractiveList,
}

/// A button of a template.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ButtonForm {
    /// Comes back when it is tapped.
    #[schema(required, value_type = String, min_length = 1, max_length = 256)]
    id: Option<String>,
    /// What the person sees.
    #[schema(required, value_type = String, min_length = 1, max_length = 20)]
    title: Option<String>,
    /// The template to answer a tap with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    next_template_key: Option<String>,
    /// The state to set on a tap.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    next_state: Option<String>,
}

/// A section of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SectionForm {
    /// Needed from two sections on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 24)]
    title: Option<String>,
    /// Its rows; ten in all sections together.
    #[schema(required, value_type = Vec<RowForm>, min_items = 1, max_items = 10)]
    rows: Option<Vec<RowForm>>,
}

/// A row of a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RowForm {
    /// Comes back when it is chosen.
    #[schema(required, value_type = String, min_length = 1, max_length = 200)]
    id: Option<String>,
    /// What the person sees.
    #[schema(required, value_type = String, min_length = 1, max_length = 24)]
    title: Option<String>,
    /// A second line.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 72)]
    description: Option<String>,
    /// The template to answer with when it is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    next_template_key: Option<String>,
    /// The state to set when it is chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    next_state: Option<String>,
}

/// A template to be stored. `type` may stand for `kind`. What `GET` adds (`id`, `version` …) may stand here and is
/// ignored, so that a template can be read, changed and put back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TemplateInput {
    /// The name by which rules, buttons and calls address it; made from `name` when absent.
    #[schema(pattern = "^[A-Za-z0-9_.:-]{1,64}$")]
    pub(super) key: Option<String>,
    /// A name for people; the key when absent.
    #[schema(max_length = 200)]
    name: Option<String>,
    /// What it is for.
    #[schema(max_length = 2000)]
    description: Option<String>,
    /// Whether it may be sent; true when absent.
    active: Option<bool>,
    /// Which of the three kinds it is.
    #[serde(alias = "type")]
    #[schema(required, value_type = TemplateKind)]
    kind: Option<TemplateKind>,
    /// The text, with `{{variables}}`.
    #[serde(alias = "text")]
    #[schema(required, value_type = String, min_length = 1, max_length = 4096)]
    body: Option<String>,
    /// A line above the body (not for `text`).
    #[schema(min_length = 1, max_length = 60)]
    header: Option<String>,
    /// A line below the body (not for `text`).
    #[schema(min_length = 1, max_length = 60)]
    footer: Option<String>,
    /// For `interactive_button`: one to three.
    #[schema(min_items = 1, max_items = 3)]
    buttons: Option<Vec<ButtonForm>>,
    /// For `interactive_list`: the label that opens the list.
    #[schema(min_length = 1, max_length = 20)]
    button: Option<String>,
    /// For `interactive_list`.
    #[schema(min_items = 1, max_items = 10)]
    sections: Option<Vec<SectionForm>>,
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<IgnoredAny>,
    #[serde(default, rename = "version")]
    #[schema(ignore)]
    _version: Option<IgnoredAny>,
    #[serde(default, rename = "variables")]
    #[schema(ignore)]
    _variables: Option<IgnoredAny>,
    #[serde(default, rename = "createdAt")]
    #[schema(ignore)]
    _created_at: Option<IgnoredAny>,
    #[serde(default, rename = "updatedAt")]
    #[schema(ignore)]
    _updated_at: Option<IgnoredAny>,
}

impl TemplateInput {
    /// The template that is meant. `key` is that of the path, when the path names one.
    ///
    /// # Errors
    /// 422 with all that is wrong.
    pub(super) fn check(self, key: Option<&str>) -> ApiResult<Template> {
        let mut checks = Checks::new();
        let key = match (key, self.key) {
            (Some(path), Some(given)) if given != path => {
                checks.wrong(
                    "key",
                    "is not the one of the path; a template cannot be renamed",
                );
                path.to_owned()
            }
            (Some(path), _) => path.to_owned(),
            (None, Some(given)) => given,
            (None, None)
                if self
                    .name
                    .as_deref()
                    .is_none_or(|name| name.trim().is_empty()) =>
            {
                checks.wrong("name", "is missing, as there is no key either");
                GENERATED_LATER.to_owned()
            }
            (None, None) => GENERATED_LATER.to_owned(),
        };
        let body = checks.required("body", self.body);
        let frame = Frame {
            header: self.header,
            footer: self.footer,
        };
        let lists = (self.buttons, self.button, self.sections);
        let form = build(&mut checks, self.kind, body, frame, lists);
        if let Some(form) = form {
            let template = Template {
                name: self.name.unwrap_or_else(|| key.clone()),
                key,
                description: self.description,
                active: self.active.unwrap_or(true),
                form,
            };
            checks.extend(template.violations());
            checks.finish()?;
            return Ok(template);
        }
        checks.finish()?;
        // Without a form something was found, so this is not reached.
        Err(crate::ApiError::internal())
    }
}

/// Stands in for a key that is made when the template is stored.
const GENERATED_LATER: &str = "template";

type Lists = (
    Option<Vec<ButtonForm>>,
    Option<String>,
    Option<Vec<SectionForm>>,
);

/// The form of a kind; fields of other kinds are refused rather than dropped.
fn build(
    checks: &mut Checks,
    kind: Option<TemplateKind>,
    body: String,
    frame: Frame,
    (buttons, button, sections): Lists,
) -> Option<TemplateForm> {
    let Some(kind) = kind else {
        checks.wrong(
            "kind",
            "is missing: text, interactive_button or interactive_list",
        );
        return None;
    };
    let mut foreign = |field: &str, given: bool| {
        if given {
            checks.wrong(field, "does not belong to this kind of template");
        }
    };
    if kind != TemplateKind::InteractiveButton {
        foreign("buttons", buttons.is_some());
    }
    if kind != TemplateKind::InteractiveList {
        foreign("button", button.is_some());
        foreign("sections", sections.is_some());
    }
    match kind {
        TemplateKind::Text => {
            foreign("header", frame.header.is_some());
            foreign("footer", frame.footer.is_some());
            Some(TemplateForm::Text { body })
        }
        TemplateKind::InteractiveButton => {
            let buttons = checks.required("buttons", buttons);
            let buttons = buttons
                .into_iter()
                .enumerate()
                .map(|(at, button)| button.build(checks, at))
                .collect();
            Some(TemplateForm::InteractiveButton {
                frame,
                body,
                buttons,
            })
        }
        TemplateKind::InteractiveList => {
            let button = checks.required("button", button);
            let sections = checks.required("sections", sections);
            let sections = sections
                .into_iter()
                .enumerate()
                .map(|(at, section)| section.build(checks, at))
                .collect();
            Some(TemplateForm::InteractiveList {
                frame,
                body,
                button,
                sections,
            })
        }
    }
}

impl ButtonForm {
    fn build(self, checks: &mut Checks, at: usize) -> TemplateButton {
        TemplateButton {
            id: checks.required(&format!("buttons[{at}].id"), self.id),
            title: checks.required(&format!("buttons[{at}].title"), self.title),
            next: Next {
                next_template_key: self.next_template_key,
                next_state: self.next_state,
            },
        }
    }
}

impl SectionForm {
    fn build(self, checks: &mut Checks, at: usize) -> TemplateSection {
        let rows = checks.required(&format!("sections[{at}].rows"), self.rows);
        let rows = rows
            .into_iter()
            .enumerate()
            .map(|(row, value)| TemplateRow {
                id: checks.required(&format!("sections[{at}].rows[{row}].id"), value.id),
                title: checks.required(&format!("sections[{at}].rows[{row}].title"), value.title),
                description: value.description,
                next: Next {
                    next_template_key: value.next_template_key,
                    next_state: value.next_state,
                },
            });
        TemplateSection {
            title: self.title,
            rows: rows.collect(),
        }
    }
}

/// A template.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateView {
    /// Its id.
    #[schema(value_type = String, example = "tpl_0190a1b2c3d47e5f8a9b0c1d2e3f4a5b")]
    id: TemplateId,
    /// The name by which rules, buttons and calls address it.
    key: String,
    /// A name for people.
    name: String,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    /// Whether it may be sent.
    active: bool,
    /// Which of the three kinds it is.
    kind: TemplateKind,
    /// The text, with `{{variables}}`.
    body: String,
    /// A line above the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    header: Option<String>,
    /// A line below the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    footer: Option<String>,
    /// The buttons.
    #[serde(skip_serializing_if = "Option::is_none")]
    buttons: Option<Vec<ButtonForm>>,
    /// The label that opens the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    button: Option<String>,
    /// The sections of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    sections: Option<Vec<SectionForm>>,
    /// The names of its variables.
    variables: Vec<String>,
    /// Counts its changes, from 1.
    version: i64,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it was changed last.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
}

impl From<TemplateRecord> for TemplateView {
    fn from(record: TemplateRecord) -> Self {
        let variables = record.template.variables();
        let Template {
            key,
            name,
            description,
            active,
            form,
        } = record.template;
        let mut view = Self {
            id: record.id,
            key,
            name,
            description,
            active,
            kind: TemplateKind::Text,
            body: String::new(),
            header: None,
            footer: None,
            buttons: None,
            button: None,
            sections: None,
            variables,
            version: record.version,
            created_at: record.created_at,
            updated_at: record.updated_at,
        };
        match form {
            TemplateForm::Text { body } => view.body = body,
            TemplateForm::InteractiveButton {
                frame,
                body,
                buttons,
            } => {
                view.kind = TemplateKind::InteractiveButton;
                (view.header, view.footer, view.body) = (frame.header, frame.footer, body);
                view.buttons = Some(buttons.into_iter().map(Into::into).collect());
            }
            TemplateForm::InteractiveList {
                frame,
                body,
                button,
                sections,
            } => {
                view.kind = TemplateKind::InteractiveList;
                (view.header, view.footer, view.body) = (frame.header, frame.footer, body);
                view.button = Some(button);
                view.sections = Some(sections.into_iter().map(Into::into).collect());
            }
        }
        view
    }
}

impl From<TemplateButton> for ButtonForm {
    fn from(button: TemplateButton) -> Self {
        Self {
            id: Some(button.id),
            title: Some(button.title),
            next_template_key: button.next.next_template_key,
            next_state: button.next.next_state,
        }
    }
}

impl From<TemplateSection> for SectionForm {
    fn from(section: TemplateSection) -> Self {
        let rows = section.rows.into_iter().map(|row| RowForm {
            id: Some(row.id),
            title: Some(row.title),
            description: row.description,
            next_template_key: row.next.next_template_key,
            next_state: row.next.next_state,
        });
        Self {
            title: section.title,
            rows: Some(rows.collect()),
        }
    }
}
