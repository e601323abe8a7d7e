-- A tenant is found whatever the case and the accents, and however they are encoded; and a CNPJ may hold letters.

-- Text as it is searched: without accents, in lower case. Decomposed, a letter and its accents stand apart; the letters are
-- ASCII then, whose case the "C" collation knows on every server, but for those Latin ones that are no composition. Other
-- scripts are found as they are written.
CREATE FUNCTION folded(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT lower(translate(regexp_replace(normalize(given, NFKD), '[\u0300-\u036f]', '', 'g'),
                           'ØøŁłĐđÆŒÞ', 'oollddæœþ') COLLATE "C")
$$;
ALTER TABLE tenants ADD COLUMN name_folded text GENERATED ALWAYS AS (folded(name)) STORED;

-- The two check digits of a CNPJ's first twelve characters: Receita Federal, Instrução Normativa RFB 2.229 of 2024. A
-- character counts as its ASCII code minus 48; the weights run from 2 to 9 and begin anew, from the right.
CREATE FUNCTION cnpj_check_digits(base text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    whole text := base;
    rest integer;
BEGIN
    FOR digit IN 1..2 LOOP
        SELECT sum((ascii(substr(whole, n, 1)) - 48) * (2 + (length(whole) - n) % 8)) % 11 INTO rest
        FROM generate_series(1, length(whole)) AS n;
        whole := whole || CASE WHEN rest < 2 THEN 0 ELSE 11 - rest END;
    END LOOP;
    RETURN right(whole, 2);
END $$;

ALTER TABLE tenants DROP CONSTRAINT tenants_cnpj_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_cnpj_check CHECK (cnpj ~ '^[0-9A-Z]{12}[0-9]{2}$');

-- A CNPJ that is written from now on must have the right digits; a tenant that was there before can be changed all the same.
CREATE FUNCTION check_cnpj() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (TG_OP = 'INSERT' OR NEW.cnpj IS DISTINCT FROM OLD.cnpj)
       AND right(NEW.cnpj, 2) IS DISTINCT FROM cnpj_check_digits(left(NEW.cnpj, 12)) THEN
        RAISE EXCEPTION 'the check digits of the CNPJ % are wrong', NEW.cnpj USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER tenants_cnpj BEFORE INSERT OR UPDATE OF cnpj ON tenants
    FOR EACH ROW EXECUTE FUNCTION check_cnpj();
