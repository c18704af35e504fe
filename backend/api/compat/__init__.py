"""Schemas and formats of compatible APIs: OpenAI, fish, ElevenLabs, Wyoming."""
