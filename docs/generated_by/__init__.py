"""What only docs/generate needs: how pages, schemas and completion are made of the code."""
