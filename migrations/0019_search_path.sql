-- A function that runs as its owner must not find what somebody else has put into a schema for temporary objects.
ALTER FUNCTION find_member(text) SET search_path = pg_catalog, public, pg_temp;
