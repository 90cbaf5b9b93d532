"""What a picture shows: faces (`/detect`) and who they are (`/identify`)."""
