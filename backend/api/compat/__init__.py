"""Schemas and formats of other services: OpenAI, fish, ElevenLabs, Wyoming."""
