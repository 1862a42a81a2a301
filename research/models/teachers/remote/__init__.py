"""A model behind an OpenAI-compatible server: it labels texts, writes texts, and answers as a teacher."""
