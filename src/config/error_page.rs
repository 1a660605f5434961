//! The page that visitors with a browser get where the edge itself has to answer: the origin
//! failed, or the request was refused. Programs get a problem document.

/// Its text and look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorPage {
    /// Its heading, plain text.
    pub title: String,
    /// What it says below, plain text.
    pub text: String,
    /// Its style sheet.
    pub style: String,
}

impl Default for ErrorPage {
    fn default() -> Self {
        let style = "body{font:1.1rem/1.5 system-ui,sans-serif;margin:0;display:grid;\
            min-height:100vh;place-items:center}main{max-width:34rem;padding:1rem}";
        Self {
            title: "This page can't be shown".to_owned(),
            text: "Please try again in a moment.".to_owned(),
            style: style.to_owned(),
        }
    }
}

impl ErrorPage {
    /// The document. `reason` is the word that Cache-Status gives: someone may be asked for it.
    #[must_use]
    pub fn html(&self, status: u16, reason: &str) -> String {
        let (title, text, reason) = (escaped(&self.title), escaped(&self.text), escaped(reason));
        let style = &self.style;
        format!(
            "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n\
             <style>{style}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n<p>{text}</p>\n\
             <p><small>{status} {reason}</small></p>\n</main>\n</body>\n</html>\n"
        )
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
