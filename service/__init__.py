"""The microservice: mutant stores served over HTTP."""
