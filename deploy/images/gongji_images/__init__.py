"""What goes into the services' images, how it is built, and the check that it is enough."""
